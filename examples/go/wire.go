package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	tally "example.com/tallymq/tallymqv1"
)

// The little arithmetic that a client does itself. proto/vectors.json has examples of all of it; vectors_test.go
// compares.

// QueueOfKey returns the queue of a routing key on a topic of so many queues.
func QueueOfKey(key []byte, queueCount uint32) uint32 {
	return uint32(xxhash.Sum64(key) % uint64(queueCount))
}

// MessageID returns the id of the record at a position of a frame, as people write it: 32 hexadecimal digits.
func MessageID(instance uint64, sequence, position uint32) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], instance)
	binary.BigEndian.PutUint32(id[8:12], sequence)
	binary.BigEndian.PutUint32(id[12:], position)
	return hex.EncodeToString(id[:])
}

// BitsOf returns the bit set with these records: record p is bit p%8 of byte p/8.
func BitsOf(records ...int) []byte {
	var bits []byte
	for _, record := range records {
		for len(bits) <= record/8 {
			bits = append(bits, 0)
		}
		bits[record/8] |= 1 << (record % 8)
	}
	return bits
}

// RecordsOf returns the records of a bit set, ascending.
func RecordsOf(bits []byte) []int {
	var records []int
	for record := range len(bits) * 8 {
		if bits[record/8]>>(record%8)&1 == 1 {
			records = append(records, record)
		}
	}
	return records
}

// LengthsOf returns the encoded size of each record, which stands in the batch's header.
func LengthsOf(records []*tally.Record) []uint32 {
	var lengths []uint32
	for _, record := range records {
		lengths = append(lengths, uint32(proto.Size(record)))
	}
	return lengths
}

// Refusal is what the service says of a call that failed.
type Refusal struct {
	Name          string // stable, for example ALREADY_COMMITTED
	Code          string // stable, for example TMQ-TXN-003; `tallymq explain CODE` tells more
	Definite      bool   // it certainly did not happen; otherwise it may have
	Retryable     bool   // the same request may be sent again and may succeed
	LeaderAddress string // with NOT_LEADER, where the leader is known
	Message       string
}

// RefusalOf reads the service's own account from the details of a gRPC status. Where there is none, gRPC itself failed:
// whether it happened is then not known, and asking again is right where nobody answered.
func RefusalOf(err error) Refusal {
	state, _ := status.FromError(err)
	for _, detail := range state.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.Domain == "tallymq" {
			return Refusal{
				Name:          info.Reason,
				Code:          info.Metadata["code"],
				Definite:      info.Metadata["definite"] == "true",
				Retryable:     info.Metadata["retryable"] == "true",
				LeaderAddress: info.Metadata["leader_address"],
				Message:       state.Message(),
			}
		}
	}
	silent := state.Code() == codes.Unavailable || state.Code() == codes.DeadlineExceeded
	return Refusal{Name: state.Code().String(), Retryable: silent, Message: state.Message()}
}

func (refusal Refusal) String() string {
	return fmt.Sprintf("%s %s: %s", refusal.Code, refusal.Name, refusal.Message)
}
