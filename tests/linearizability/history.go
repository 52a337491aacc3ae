package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Outcomes and decisions as tests/workloads/history.py writes them.
const (
	outcomeOK      = "ok"
	outcomeUnknown = "unknown"
	outcomeRefused = "refused"
	committed      = "committed"
	rolledBack     = "rolled back"
)

// event is one line of a history: all fields that any kind of event has.
type event struct {
	Kind        string    `json:"event"`
	Client      string    `json:"client"`
	Began       int64     `json:"began_us"`
	Ended       int64     `json:"ended_us"`
	Outcome     string    `json:"outcome"`
	Messages    []message `json:"messages"`
	Offsets     []int     `json:"offsets"`
	Transaction string    `json:"transaction"`
	Wanted      string    `json:"wanted"`
	Found       string    `json:"found"`
	Group       string    `json:"group"`
	Topic       string    `json:"topic"`
	Queue       int       `json:"queue"`
	Records     []record  `json:"records"`
	First       int       `json:"first_offset"`
	Next        int       `json:"next_offset"`
	Floor       int       `json:"floor_offset"`
	Call        string    `json:"call"`
	Name        string    `json:"name"`
	Queues      int       `json:"queues"`
	Absent      bool      `json:"absent"`
	Differs     bool      `json:"differs"`
}

// message is ["id", "digest", "topic", queue].
type message struct {
	ID    string
	Topic string
	Queue int
}

func (m *message) UnmarshalJSON(text []byte) error {
	var digest string
	return json.Unmarshal(text, &[]any{&m.ID, &digest, &m.Topic, &m.Queue})
}

// record is [offset, "id", "digest"] or [offset, "id", "digest", attempt].
type record struct {
	Offset int
	ID     string
}

func (r *record) UnmarshalJSON(text []byte) error {
	var digest string
	return json.Unmarshal(text, &[]any{&r.Offset, &r.ID, &digest})
}

// readHistory returns all whole lines; a last one without its end is left out.
func readHistory(from io.Reader) ([]event, error) {
	reader := bufio.NewReaderSize(from, 1<<20)
	var events []event
	for number := 1; ; number++ {
		line, err := reader.ReadBytes('\n')
		if err == io.EOF {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		var one event
		if err := json.Unmarshal(line, &one); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		events = append(events, one)
	}
}
