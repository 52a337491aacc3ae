package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	tally "example.com/tallymq/tallymqv1"
)

// Consumer takes messages of a topic for a group. Each message goes to one consumer of the group, under a lease; what
// is not acknowledged before the lease ends is delivered again.
type Consumer struct {
	cluster *Cluster
	topic   string
	group   string
	id      uint64 // random, of this process
}

// Receive consumes until every wanted message has come, by id, with the wanted body. A message of this producer that is
// not wanted is an error; those of others are acknowledged and passed over.
func (consumer *Consumer) Receive(ctx context.Context, producer uint64, want map[string]string) error {
	for len(want) > 0 {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%w; still missing %v", err, want)
		}
		// A node hands out the queues that it leads, so each is asked.
		for _, address := range consumer.cluster.addresses() {
			deliveries, err := consumer.fetch(ctx, address)
			if err != nil {
				return err
			}
			for _, delivery := range deliveries {
				if err := take(delivery, producer, want); err != nil {
					return err
				}
				if err := consumer.acknowledge(ctx, address, delivery); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// take compares the messages of one delivery with what is wanted, and strikes out what has come.
func take(delivery *tally.Delivery, producer uint64, want map[string]string) error {
	if int(delivery.Count) != len(delivery.Records.GetRecords()) {
		return fmt.Errorf("a delivery of %d messages holds %d", delivery.Count, len(delivery.Records.GetRecords()))
	}
	if delivery.Instance != producer {
		return nil
	}
	for place, record := range delivery.Records.Records {
		position := delivery.FirstPosition + uint32(place)
		if len(delivery.Positions) > 0 {
			position = delivery.Positions[place]
		}
		id := MessageID(delivery.Instance, delivery.Sequence, position)
		body, wanted := want[id]
		if !wanted || body != string(record.Body) {
			return fmt.Errorf("received %s with %q, which was never committed or is here twice", id, record.Body)
		}
		delete(want, id)
		fmt.Printf("received    %s %s, offset %d of queue %d\n", id, record.Body, delivery.FirstOffset+uint64(place),
			delivery.Queue)
	}
	return nil
}

func (consumer *Consumer) fetch(ctx context.Context, address string) ([]*tally.Delivery, error) {
	request := &tally.FetchRequest{
		ConsumerGroup: consumer.group, Topic: consumer.topic, Consumer: consumer.id, WaitMs: 500,
		StartAt: tally.StartAt_START_AT_EARLIEST,
	}
	var reply *tally.FetchReply
	err := consumer.cluster.Call(ctx, address, func(ctx context.Context, connection *grpc.ClientConn) (err error) {
		reply, err = tally.NewMessagingClient(connection).Fetch(ctx, request)
		return err
	})
	return reply.GetDeliveries(), err
}

// acknowledge says that the messages of a delivery are done and must not come again.
func (consumer *Consumer) acknowledge(ctx context.Context, address string, delivery *tally.Delivery) error {
	request := &tally.AcknowledgeRequest{ConsumerGroup: consumer.group, Ranges: []*tally.LeasedRange{{
		Topic: delivery.Topic, Queue: delivery.Queue, Lease: delivery.Lease, FirstOffset: delivery.FirstOffset,
		Count: delivery.Count,
	}}}
	return consumer.cluster.Call(ctx, address, func(ctx context.Context, connection *grpc.ClientConn) error {
		reply, err := tally.NewMessagingClient(connection).Acknowledge(ctx, request)
		if err == nil && reply.Results[0] != tally.LeaseResult_LEASE_RESULT_OK {
			err = fmt.Errorf("the lease ended before the acknowledgement: %s", reply.Results[0])
		}
		return err
	})
}
