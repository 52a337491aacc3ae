package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"strconv"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	tally "example.com/tallymq/tallymqv1"
)

type vectors struct {
	IDs []struct {
		Instance           string
		Sequence, Position uint32
		ID                 string
	}
	Queues []struct {
		Key          string
		QueueByCount map[string]uint32 `json:"queue_by_count"`
	}
	BitSets []struct {
		Records []int
		Bits    string
	} `json:"bit_sets"`
	Batches []struct {
		About         string
		Records       []json.RawMessage
		RecordBatch   string   `json:"record_batch"`
		RecordLengths []uint32 `json:"record_lengths"`
		CRC32C        string
	}
	Decisions []struct {
		Half            json.RawMessage
		Instance        string
		Sequence        uint32
		CommitRecords   []int             `json:"commit_records"`
		CommitBits      string            `json:"commit_bits"`
		RollBackRecords []int             `json:"roll_back_records"`
		RollBackBits    string            `json:"roll_back_bits"`
		TransactionIDs  map[string]string `json:"transaction_ids"`
		HandleOfRecord4 string            `json:"handle_of_record_4"`
	}
}

func read(t *testing.T) vectors {
	t.Helper()
	content, err := os.ReadFile("../../proto/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var found vectors
	if err := json.Unmarshal(content, &found); err != nil {
		t.Fatal(err)
	}
	if len(found.IDs) == 0 || len(found.Queues) == 0 || len(found.BitSets) == 0 || len(found.Batches) == 0 ||
		len(found.Decisions) == 0 {
		t.Fatal("the file lacks a kind of vector")
	}
	return found
}

func fromHex(t *testing.T, text string) []byte {
	t.Helper()
	content, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func number(t *testing.T, text string) uint64 {
	t.Helper()
	value, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestIDs(t *testing.T) {
	for _, vector := range read(t).IDs {
		if got := MessageID(number(t, vector.Instance), vector.Sequence, vector.Position); got != vector.ID {
			t.Errorf("got %s, want %s", got, vector.ID)
		}
	}
}

func TestQueues(t *testing.T) {
	for _, vector := range read(t).Queues {
		for count, queue := range vector.QueueByCount {
			queueCount, err := strconv.ParseUint(count, 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			if got := QueueOfKey(fromHex(t, vector.Key), uint32(queueCount)); got != queue {
				t.Errorf("key %s of %s queues: got %d, want %d", vector.Key, count, got, queue)
			}
		}
	}
}

func TestBitSets(t *testing.T) {
	for _, vector := range read(t).BitSets {
		bits := fromHex(t, vector.Bits)
		if got := BitsOf(vector.Records...); !slices.Equal(got, bits) {
			t.Errorf("records %v: got %x, want %x", vector.Records, got, bits)
		}
		if got := RecordsOf(bits); !slices.Equal(got, vector.Records) {
			t.Errorf("bits %x: got %v, want %v", bits, got, vector.Records)
		}
	}
}

func TestBatches(t *testing.T) {
	for _, vector := range read(t).Batches {
		var records []*tally.Record
		for _, text := range vector.Records {
			record := new(tally.Record)
			if err := protojson.Unmarshal(text, record); err != nil {
				t.Fatal(err)
			}
			records = append(records, record)
		}
		if got := LengthsOf(records); !slices.Equal(got, vector.RecordLengths) {
			t.Errorf("%s: lengths %v, want %v", vector.About, got, vector.RecordLengths)
		}
		content, err := proto.Marshal(&tally.RecordBatch{Records: records})
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(content); got != vector.RecordBatch {
			t.Errorf("%s: got %s, want %s", vector.About, got, vector.RecordBatch)
		}
		crc := crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli))
		if got := fmt.Sprintf("%08x", crc); got != vector.CRC32C {
			t.Errorf("%s: CRC %s, want %s", vector.About, got, vector.CRC32C)
		}
	}
}

func TestDecisions(t *testing.T) {
	for _, vector := range read(t).Decisions {
		half := new(tally.HalfBatch)
		if err := protojson.Unmarshal(vector.Half, half); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(BitsOf(vector.CommitRecords...)); got != vector.CommitBits {
			t.Errorf("commit: got %s, want %s", got, vector.CommitBits)
		}
		if got := hex.EncodeToString(BitsOf(vector.RollBackRecords...)); got != vector.RollBackBits {
			t.Errorf("roll back: got %s, want %s", got, vector.RollBackBits)
		}
		for text, id := range vector.TransactionIDs {
			record, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			position := half.FirstPosition + uint32(record)
			if got := MessageID(number(t, vector.Instance), vector.Sequence, position); got != id {
				t.Errorf("record %s: got %s, want %s", text, got, id)
			}
		}
		handle := new(tally.Handle)
		if err := proto.Unmarshal(fromHex(t, vector.HandleOfRecord4), handle); err != nil {
			t.Fatal(err)
		}
		want := handleOf(half, 4, number(t, vector.Instance), vector.Sequence)
		if !proto.Equal(handle, want) {
			t.Errorf("handle: got %v, want %v", handle, want)
		}
	}
}
