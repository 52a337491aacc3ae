package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	tally "example.com/tallymq/tallymqv1"
)

// Cluster knows the nodes, and which of them leads each shard.
//
// A topic is split into queues, each queue belongs to a shard, and each shard has one leader among the nodes. What
// changes or takes messages goes to the leader of their shard; any node tells who that is (Route).
type Cluster struct {
	connections map[string]*grpc.ClientConn // by address, host:port
	seed        string                      // the address we were given
	route       *tally.RouteReply
}

// Connect opens a connection to one node of a cluster; the others are learned from it.
func Connect(address string) *Cluster {
	return &Cluster{connections: map[string]*grpc.ClientConn{}, seed: address}
}

// Close closes all connections.
func (cluster *Cluster) Close() {
	for _, connection := range cluster.connections {
		_ = connection.Close() // nothing to be done about it at the end
	}
}

// at returns the connection to an address. gRPC connects when the first call is made, and again by itself.
func (cluster *Cluster) at(address string) (*grpc.ClientConn, error) {
	if connection, ok := cluster.connections[address]; ok {
		return connection, nil
	}
	// Nodes on loopback speak plain text. For TLS: credentials.NewTLS with the CA of the cluster and a certificate
	// (`tallymq certs` makes them).
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	cluster.connections[address] = connection
	return connection, nil
}

// Learn asks where the topic's queues are.
func (cluster *Cluster) Learn(ctx context.Context, topic string) error {
	connection, err := cluster.at(cluster.seed)
	if err != nil {
		return err
	}
	cluster.route, err = tally.NewMessagingClient(connection).Route(ctx, &tally.RouteRequest{Topics: []string{topic}})
	return err
}

// queueShards returns the shard of each queue of the topic that was learned.
func (cluster *Cluster) queueShards() []uint32 {
	if cluster.route == nil || len(cluster.route.Topics) == 0 {
		return nil
	}
	return cluster.route.Topics[0].QueueShards
}

// addresses returns where all nodes are.
func (cluster *Cluster) addresses() []string {
	var found []string
	for _, node := range cluster.route.Nodes {
		found = append(found, node.ClientAddress)
	}
	return found
}

// leaderOf returns the address of the node that leads a shard; of the node we know, while nobody does.
func (cluster *Cluster) leaderOf(shard uint32) string {
	for _, place := range cluster.route.Shards {
		for _, node := range cluster.route.Nodes {
			if place.Shard == shard && place.Leader == node.Node && node.ClientAddress != "" {
				return node.ClientAddress
			}
		}
	}
	return cluster.seed
}

// Call makes a call, first at this address, and again while that is worth while: it follows the leader, and repeats the
// very same request where the answer got lost. That is safe, because the service recognises what it has done.
func (cluster *Cluster) Call(ctx context.Context, address string, call func(context.Context, *grpc.ClientConn) error) error {
	for {
		connection, err := cluster.at(address)
		if err != nil {
			return err
		}
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err = call(attempt, connection)
		cancel()
		if err == nil {
			return nil
		}
		refusal := RefusalOf(err)
		if !refusal.Retryable {
			return fmt.Errorf("%w (%s)", err, refusal)
		}
		address = cluster.seed
		if refusal.LeaderAddress != "" {
			address = refusal.LeaderAddress
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
