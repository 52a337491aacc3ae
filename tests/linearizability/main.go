// Judges histories (tests/workloads/history.py) by four models: what is on a queue, what became of a transaction, what a
// group has done, and which topics there are. Each must have gone on as if every call had happened at one instant
// between its beginning and its end.
//
// linearizability FILE...: a line for each model of each file; exit 1 if one of them is broken, 2 if it could not tell.
package main

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// keySecondsMax bounds the search for one key.
const keySecondsMax = 60 * time.Second

// judgement is what one model says of one history.
type judgement struct {
	model      string
	keys       int
	operations int
	longest    int
	broken     []string
	untold     []string
}

func (j *judgement) judge(key string, model porcupine.Model, operations []porcupine.Operation) {
	j.keys++
	j.operations += len(operations)
	j.longest = max(j.longest, len(operations))
	switch porcupine.CheckOperationsTimeout(model, operations, keySecondsMax) {
	case porcupine.Illegal:
		j.broken = append(j.broken, key)
	case porcupine.Unknown:
		j.untold = append(j.untold, key)
	}
}

func (j *judgement) String() string {
	text := fmt.Sprintf("%s: %d keys, %d operations, at most %d a key: ", j.model, j.keys, j.operations, j.longest)
	slices.Sort(j.broken)
	switch {
	case len(j.broken) > 0:
		return text + fmt.Sprintf("NOT linearizable: %d keys, the first is %s", len(j.broken), j.broken[0])
	case len(j.untold) > 0:
		return text + fmt.Sprintf("could not be told in time for %s", j.untold[0])
	default:
		return text + "linearizable"
	}
}

// judge returns what each model says of a history.
func judge(events []event) []*judgement {
	published := &judgement{model: "publish"}
	for key, operations := range publications(events) {
		for first, piece := range slicesOf(operations) {
			published.judge(key, queueModel(first), piece)
		}
	}
	all := []*judgement{published}
	for _, one := range []struct {
		name  string
		model porcupine.Model
		of    func([]event) map[string][]porcupine.Operation
	}{
		{"decide", maybeDecideModel, decisions},
		{"offsets", offsetModel, groupOffsets},
		{"metadata", topicModel, topics},
	} {
		judged := &judgement{model: one.name}
		for key, operations := range one.of(events) {
			judged.judge(key, one.model, operations)
		}
		all = append(all, judged)
	}
	return all
}

func judgeFile(path string) (int, error) {
	file, err := os.Open(path)
	if err != nil {
		return 2, err
	}
	defer file.Close()
	events, err := readHistory(file)
	if err != nil {
		return 2, fmt.Errorf("%s: %w", path, err)
	}
	code := 0
	for _, judged := range judge(events) {
		fmt.Println(judged)
		if len(judged.broken) > 0 {
			code = 1
		} else if len(judged.untold) > 0 && code == 0 {
			code = 2
		}
	}
	return code, nil
}

func main() {
	code := 0
	for _, path := range os.Args[1:] {
		judged, err := judgeFile(path)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		if judged == 1 || code == 0 {
			code = judged
		}
	}
	os.Exit(code)
}
