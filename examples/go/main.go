// A producer and a consumer of TallyMQ in Go, made from nothing but the public proto files.
//
// A producer stores a half message first, then does its own work (usually a database transaction), and then commits the
// half or rolls it back. If it dies in between, the service asks: what became of it? This program does all three: it
// commits one transfer, rolls one back, and leaves one undecided until it is asked. Then it consumes, and finds exactly
// the two that were committed. It exits with 1 if anything is otherwise.
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"

	tally "example.com/tallymq/tallymqv1"
)

const (
	producerGroup = "go-bank"
	checkAfterMs  = 1000 // how long the service waits before it asks; the least there is
)

func main() {
	server := flag.String("server", "127.0.0.1:7070", "address of a node, host:port")
	topic := flag.String("topic", "go-transfers", "name of the topic; made if it is missing")
	timeout := flag.Duration("timeout", time.Minute, "how long everything may take")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	if err := run(ctx, *server, *topic); err != nil {
		fmt.Fprintln(os.Stderr, "wrong:", err)
		os.Exit(1)
	}
	fmt.Println("Everything matches.")
}

// transfer is one half message of ours and what we know of it.
type transfer struct {
	key    string // routing key: transfers of one account stay in order
	id     string
	handle *tally.Handle
}

func run(ctx context.Context, server, topic string) error {
	cluster := Connect(server)
	defer cluster.Close()
	if err := createTopic(ctx, cluster, topic); err != nil {
		return fmt.Errorf("create topic: %w", err)
	}
	if err := cluster.Learn(ctx, topic); err != nil {
		return fmt.Errorf("route: %w", err)
	}

	// A producer's instance is a random number of this process, drawn anew at every start. With a sequence number it
	// names a frame, so that a frame that is sent twice is stored once.
	producer := &Producer{cluster: cluster, topic: topic, instance: randomNumber()}

	// The session first: who may be asked must be there before there is something to ask.
	checks, err := producer.OpenSessions(ctx)
	if err != nil {
		return fmt.Errorf("session: %w", err)
	}

	var transfers []transfer
	for _, key := range []string{"li-lei", "han-meimei", "lin-tao"} {
		made, err := producer.Prepare(ctx, key, []byte("100 yuan from "+key))
		if err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		fmt.Println("prepared   ", made.id, key)
		transfers = append(transfers, made)
	}
	committed, rolledBack, undecided := transfers[0], transfers[1], transfers[2]

	// Here a real program commits its database transaction. Then it says so:
	if err := producer.Commit(ctx, committed); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	fmt.Println("committed  ", committed.id)
	if err := producer.RollBack(ctx, rolledBack); err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	fmt.Println("rolled back", rolledBack.id)

	// The first decision is final; the opposite one is refused, by name.
	if refusal := RefusalOf(producer.RollBack(ctx, committed)); refusal.Name != "ALREADY_COMMITTED" || !refusal.Definite {
		return fmt.Errorf("a second, opposite decision was not refused as it should be: %s", refusal)
	}

	// Nobody decides the third one. After a second the service asks on the session, and we answer: commit.
	if err := producer.AnswerCheck(ctx, checks, undecided); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	fmt.Println("answered   ", undecided.id, "(the service had asked)")

	want := map[string]string{
		committed.id: "100 yuan from " + committed.key,
		undecided.id: "100 yuan from " + undecided.key,
	}
	consumer := &Consumer{
		cluster: cluster, topic: topic, id: randomNumber(),
		group: fmt.Sprintf("go-accounting-%016x", producer.instance), // new, so that it starts at the beginning
	}
	if err := consumer.Receive(ctx, producer.instance, want); err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	return expectState(ctx, cluster, rolledBack, tally.TransactionState_TRANSACTION_STATE_ROLLED_BACK)
}

// createTopic makes the topic; one that exists with as many queues is left as it is.
func createTopic(ctx context.Context, cluster *Cluster, topic string) error {
	return cluster.Call(ctx, cluster.seed, func(ctx context.Context, connection *grpc.ClientConn) error {
		_, err := tally.NewAdminClient(connection).CreateTopic(ctx, &tally.CreateTopicRequest{Name: topic, QueueCount: 4})
		return err
	})
}

// expectState asks what an operator would ask: what became of this transaction?
func expectState(ctx context.Context, cluster *Cluster, sent transfer, state tally.TransactionState) error {
	id, err := hex.DecodeString(sent.id) // people write 32 digits, the wire has 16 bytes
	if err != nil {
		return err
	}
	return cluster.Call(ctx, cluster.leaderOf(sent.handle.Shard), func(ctx context.Context, connection *grpc.ClientConn) error {
		reply, err := tally.NewAdminClient(connection).GetTransaction(ctx, &tally.GetTransactionRequest{TransactionId: id})
		if err == nil && reply.Transaction.State != state {
			err = fmt.Errorf("%s is %s, not %s", sent.id, reply.Transaction.State, state)
		}
		return err
	})
}

// randomNumber returns a random number that is not 0.
func randomNumber() uint64 {
	var content [8]byte
	for {
		_, _ = rand.Read(content[:]) // never fails: crypto/rand ends the program instead
		if number := binary.BigEndian.Uint64(content[:]); number != 0 {
			return number
		}
	}
}
