package main

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"

	tally "example.com/tallymq/tallymqv1"
)

// Producer prepares half messages, decides them, and answers when it is asked about them.
type Producer struct {
	cluster  *Cluster
	topic    string
	instance uint64 // random, of this process
	sequence uint32 // of the next frame
}

// Prepare stores one half message: nobody sees it until it is committed.
func (producer *Producer) Prepare(ctx context.Context, key string, body []byte) (transfer, error) {
	shards := producer.cluster.queueShards()
	if len(shards) == 0 {
		return transfer{}, fmt.Errorf("topic %s has no queues yet", producer.topic)
	}
	queue := QueueOfKey([]byte(key), uint32(len(shards)))
	records := []*tally.Record{{Key: []byte(key), Body: body}}
	request := &tally.PrepareRequest{
		Identity:      &tally.FrameIdentity{Instance: producer.instance, Sequence: producer.sequence},
		ProducerGroup: producerGroup,
		CheckAfterMs:  checkAfterMs,
		Batches: []*tally.Batch{{
			Header: &tally.BatchHeader{
				Topic:         producer.topic,
				Queue:         queue,
				QueueCount:    uint32(len(shards)), // what we chose the queue by; refused if it is so no longer
				RecordLengths: LengthsOf(records),
			},
			Records: &tally.RecordBatch{Records: records},
		}},
	}
	producer.sequence++
	var reply *tally.PrepareReply
	err := producer.cluster.Call(ctx, producer.cluster.leaderOf(shards[queue]),
		func(ctx context.Context, connection *grpc.ClientConn) (err error) {
			reply, err = tally.NewMessagingClient(connection).Prepare(ctx, request)
			return err
		})
	if err != nil {
		return transfer{}, err
	}
	// One batch of one record: the first and only half of the frame. A frame may hold thousands.
	half, sequence := reply.Batches[0], request.Identity.Sequence
	return transfer{
		key:    key,
		id:     MessageID(producer.instance, sequence, half.FirstPosition),
		handle: handleOf(half, 0, producer.instance, sequence),
	}, nil
}

// handleOf names one record of a half batch.
func handleOf(half *tally.HalfBatch, record uint32, instance uint64, sequence uint32) *tally.Handle {
	return &tally.Handle{
		Shard: half.Shard, Index: half.Index, Batch: half.Batch, Record: record, Instance: instance, Sequence: sequence,
	}
}

// Commit makes a half message visible to consumers.
func (producer *Producer) Commit(ctx context.Context, sent transfer) error {
	request := &tally.CommitRequest{ProducerGroup: producerGroup, Handles: []*tally.Handle{sent.handle}}
	return producer.cluster.Call(ctx, producer.cluster.leaderOf(sent.handle.Shard),
		func(ctx context.Context, connection *grpc.ClientConn) error {
			_, err := tally.NewMessagingClient(connection).Commit(ctx, request)
			return err
		})
}

// RollBack makes sure that nobody ever sees a half message.
func (producer *Producer) RollBack(ctx context.Context, sent transfer) error {
	request := &tally.RollBackRequest{ProducerGroup: producerGroup, Handles: []*tally.Handle{sent.handle}}
	return producer.cluster.Call(ctx, producer.cluster.leaderOf(sent.handle.Shard),
		func(ctx context.Context, connection *grpc.ClientConn) error {
			_, err := tally.NewMessagingClient(connection).RollBack(ctx, request)
			return err
		})
}

// question is a check, and where to answer it.
type question struct {
	check   *tally.Check
	session grpc.BidiStreamingClient[tally.SessionRequest, tally.SessionReply]
	err     error
}

// OpenSessions opens a session to every node: whichever leads the shard of a half may ask. What they ask comes on the
// channel. The sessions end with the context.
func (producer *Producer) OpenSessions(ctx context.Context) (<-chan question, error) {
	questions := make(chan question)
	for _, address := range producer.cluster.addresses() {
		connection, err := producer.cluster.at(address)
		if err != nil {
			return nil, err
		}
		session, err := tally.NewMessagingClient(connection).Session(ctx)
		if err != nil {
			return nil, err
		}
		hello := &tally.SessionHello{ProducerGroup: producerGroup, Instance: producer.instance, Client: "examples/go"}
		if err := session.Send(&tally.SessionRequest{Request: &tally.SessionRequest_Hello{Hello: hello}}); err != nil {
			return nil, err
		}
		first, err := session.Recv()
		if err != nil {
			return nil, err
		}
		if first.GetWelcome() == nil {
			return nil, fmt.Errorf("%s did not welcome us but said %v", address, first)
		}
		go listen(ctx, session, questions)
	}
	return questions, nil
}

func listen(
	ctx context.Context, session grpc.BidiStreamingClient[tally.SessionRequest, tally.SessionReply], to chan<- question,
) {
	for {
		reply, err := session.Recv()
		if err == io.EOF {
			return
		}
		select {
		case to <- question{check: reply.GetCheck(), session: session, err: err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// AnswerCheck waits until the service asks about this transfer, and answers that it is committed. A real program looks
// in its database: is the row there that my transaction wrote?
func (producer *Producer) AnswerCheck(ctx context.Context, questions <-chan question, sent transfer) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case asked := <-questions:
			if asked.err != nil {
				return asked.err
			}
			check := asked.check
			if check == nil {
				continue // something a later version says
			}
			answer := &tally.CheckAnswer{Check: check.Check}
			ours := check.Instance == producer.instance && check.Sequence == sent.handle.Sequence
			if ours {
				answer.CommitBits = check.InDoubtBits
			} // of anything else we know nothing: records in neither set are asked about again later
			err := asked.session.Send(&tally.SessionRequest{Request: &tally.SessionRequest_Answer{Answer: answer}})
			if err != nil || ours {
				return err
			}
		}
	}
}
