package main

import (
	"strconv"
	"strings"
	"testing"
)

func lines(text ...string) string { return strings.Join(text, "\n") + "\n" }

const (
	publishA  = `{"event":"publish","client":"a","began_us":1,"ended_us":2,"outcome":"ok","messages":[["a","x","t",0]],"offsets":[0]}`
	publishB  = `{"event":"publish","client":"b","began_us":3,"ended_us":4,"outcome":"ok","messages":[["b","x","t",0]],"offsets":[1]}`
	unknownB  = `{"event":"publish","client":"b","began_us":3,"ended_us":4,"outcome":"unknown","messages":[["b","x","t",0]]}`
	logAB     = `{"event":"log","client":"h","began_us":90,"ended_us":91,"topic":"t","queue":0,"first_offset":0,"next_offset":2,"records":[[0,"a","x"],[1,"b","x"]]}`
	logBA     = `{"event":"log","client":"h","began_us":90,"ended_us":91,"topic":"t","queue":0,"first_offset":0,"next_offset":2,"records":[[0,"b","x"],[1,"a","x"]]}`
	logA      = `{"event":"log","client":"h","began_us":90,"ended_us":91,"topic":"t","queue":0,"first_offset":0,"next_offset":1,"records":[[0,"a","x"]]}`
	logLong   = `{"event":"log","client":"h","began_us":90,"ended_us":91,"topic":"t","queue":0,"first_offset":0,"next_offset":3,"records":[[0,"a","x"],[1,"b","x"]]}`
	early     = `{"event":"deliver","client":"c","began_us":1,"ended_us":2,"group":"g","topic":"t","queue":0,"records":[[1,"b","x",1]]}`
	deliverA  = `{"event":"deliver","client":"c","began_us":5,"ended_us":6,"group":"g","topic":"t","queue":0,"records":[[0,"a","x",1]]}`
	ackA      = `{"event":"acknowledge","client":"c","began_us":7,"ended_us":8,"outcome":"ok","group":"g","topic":"t","queue":0,"offsets":[0]}`
	ackMaybe  = `{"event":"acknowledge","client":"c","began_us":7,"ended_us":8,"outcome":"unknown","group":"g","topic":"t","queue":0,"offsets":[0]}`
	againA    = `{"event":"deliver","client":"d","began_us":9,"ended_us":10,"group":"g","topic":"t","queue":0,"records":[[0,"a","x",2]]}`
	wayA      = `{"event":"deliver","client":"d","began_us":6,"ended_us":10,"group":"g","topic":"t","queue":0,"records":[[0,"a","x",2]]}`
	standA    = `{"event":"stand","client":"h","began_us":20,"ended_us":21,"group":"g","topic":"t","queue":0,"floor_offset":1,"next_offset":1}`
	prepareA  = `{"event":"prepare","client":"p","began_us":1,"ended_us":2,"outcome":"ok","transaction":"T","producer_group":"p","messages":[["a","x","t",0]]}`
	commitA   = `{"event":"decide","client":"p","began_us":3,"ended_us":4,"outcome":"ok","transaction":"T","wanted":"committed"}`
	maybeA    = `{"event":"decide","client":"p","began_us":3,"ended_us":4,"outcome":"unknown","transaction":"T","wanted":"committed"}`
	rollBackA = `{"event":"decide","client":"q","began_us":5,"ended_us":6,"outcome":"ok","transaction":"T","wanted":"rolled back"}`
	toldBackA = `{"event":"decide","client":"q","began_us":5,"ended_us":6,"outcome":"refused","transaction":"T","wanted":"committed","found":"rolled back"}`
	tooEarlyA = `{"event":"decide","client":"q","began_us":1,"ended_us":2,"outcome":"refused","transaction":"T","wanted":"rolled back","found":"committed"}`
	createN   = `{"event":"topic","client":"a","began_us":1,"ended_us":2,"outcome":"ok","call":"create","name":"n","queues":1}`
	createAs2 = `{"event":"topic","client":"b","began_us":3,"ended_us":4,"outcome":"ok","call":"create","name":"n","queues":2}`
	differs2  = `{"event":"topic","client":"b","began_us":3,"ended_us":4,"outcome":"refused","call":"create","name":"n","queues":2,"differs":true}`
	absentN   = `{"event":"topic","client":"b","began_us":3,"ended_us":4,"outcome":"refused","call":"get","name":"n","absent":true}`
	deleteN   = `{"event":"topic","client":"b","began_us":3,"ended_us":4,"outcome":"ok","call":"delete","name":"n"}`
	maybeGone = `{"event":"topic","client":"b","began_us":3,"ended_us":4,"outcome":"unknown","call":"delete","name":"n"}`
	getN      = `{"event":"topic","client":"a","began_us":5,"ended_us":6,"outcome":"ok","call":"get","name":"n","queues":1}`
	goneN     = `{"event":"topic","client":"a","began_us":7,"ended_us":8,"outcome":"refused","call":"get","name":"n","absent":true}`
)

func TestHistories(t *testing.T) {
	cases := []struct {
		name    string
		broken  string
		history string
	}{
		{"in order", "", lines(publishA, publishB, deliverA, ackA, standA, logAB)},
		{"an unanswered publish happened", "", lines(publishA, unknownB, logAB)},
		{"an unanswered publish did not happen", "", lines(publishA, unknownB, logA)},
		{"answered first, stored second", "publish", lines(publishA, publishB, logBA)},
		{"the queue ends behind its last message", "publish", lines(publishA, publishB, logLong)},
		{"delivered before it was sent", "publish", lines(publishA, publishB, early, logAB)},
		{"done, and not delivered again", "", lines(deliverA, ackA, standA)},
		{"leased before it was done", "", lines(deliverA, ackA, wayA)},
		{"perhaps done, delivered again", "", lines(deliverA, ackMaybe, againA)},
		{"done, and delivered again", "offsets", lines(deliverA, ackA, againA)},
		{"counted as done by nobody", "offsets", lines(deliverA, standA)},
		{"committed", "", lines(prepareA, commitA, deliverA, logA)},
		{"perhaps committed, rolled back", "", lines(prepareA, maybeA, toldBackA, rollBackA)},
		{"perhaps committed, seen", "", lines(prepareA, maybeA, deliverA, logA)},
		{"committed, then rolled back", "decide", lines(prepareA, commitA, rollBackA)},
		{"committed, and told that it is rolled back", "decide", lines(prepareA, commitA, toldBackA)},
		{"told of a commit that nobody had asked for yet", "decide", lines(prepareA, tooEarlyA, commitA)},
		{"rolled back, and seen", "decide", lines(prepareA, rollBackA, deliverA, logA)},
		{"made, seen", "", lines(createN, differs2, getN)},
		{"made, perhaps deleted, seen, gone", "", lines(createN, maybeGone, getN, goneN)},
		{"made twice with different queues", "metadata", lines(createN, createAs2)},
		{"made, and not seen", "metadata", lines(createN, absentN)},
		{"deleted, and seen", "metadata", lines(createN, deleteN, getN)},
	}
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			events, err := readHistory(strings.NewReader(one.history))
			if err != nil {
				t.Fatal(err)
			}
			var broken []string
			for _, judged := range judge(events) {
				if len(judged.broken) > 0 {
					broken = append(broken, judged.model)
				}
			}
			if got := strings.Join(broken, " "); got != one.broken {
				t.Errorf("broken: %q, expected %q", got, one.broken)
			}
		})
	}
}

func TestALineThatIsTornAtTheEndIsLeftOut(t *testing.T) {
	events, err := readHistory(strings.NewReader(lines(publishA) + `{"event":"publ`))
	if err != nil || len(events) != 1 {
		t.Errorf("%d events, %v", len(events), err)
	}
}

func TestALongQueueIsLookedAtInSlices(t *testing.T) {
	text := &strings.Builder{}
	records := []string{}
	for offset := range 3 * operationsMax {
		id := strings.Repeat("i", 1+offset%7) + string(rune('a'+offset%26)) + strconv.Itoa(offset)
		began, ended := strconv.Itoa(10*offset+1), strconv.Itoa(10*offset+5)
		text.WriteString(`{"event":"publish","client":"a","began_us":` + began + `,"ended_us":` + ended +
			`,"outcome":"ok","messages":[["` + id + `","x","t",0]]}` + "\n")
		records = append(records, `[`+strconv.Itoa(offset)+`,"`+id+`","x"]`)
	}
	text.WriteString(`{"event":"log","client":"h","began_us":9000000,"ended_us":9000001,"topic":"t","queue":0,"first_offset":0,"next_offset":` +
		strconv.Itoa(3*operationsMax) + `,"records":[` + strings.Join(records, ",") + "]}\n")
	events, err := readHistory(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	published := judge(events)[0]
	if len(published.broken) > 0 || published.longest > operationsMax || published.keys != 4 {
		t.Error(published)
	}
}
