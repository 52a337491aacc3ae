package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/anishathalye/porcupine"
)

// never is when a call returns whose outcome nobody was told: it may take effect at any time after it began.
const never = math.MaxInt64

// operationsMax bounds the operations of one key. A longer queue is looked at in slices of its offsets.
const operationsMax = 8_000

// histories is one model's part of a history: for each key its operations.
type histories map[string][]porcupine.Operation

func (h histories) add(key string, began, ended int64, step any) {
	h[key] = append(h[key], porcupine.Operation{Input: step, Call: began, Return: ended})
}

// until is when a call returns, as the model sees it.
func until(one event) int64 {
	if one.Outcome == outcomeUnknown {
		return never
	}
	return one.Ended
}

// place is an operation on a queue: appending the message of an offset, or seeing that the queue has reached one.
type place struct {
	offset  int
	appends bool
	exactly bool
}

// queueModel is a queue as the number of its next offset. Its slices begin at the lowest offset that is appended in them.
func queueModel(first int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return first },
		Step: func(state, input, _ any) (bool, any) {
			next, step := state.(int), input.(place)
			switch {
			case step.appends:
				return next == step.offset, next + 1
			case step.exactly:
				return next == step.offset, next
			default:
				return next > step.offset, next
			}
		},
	}
}

type span struct{ began, ended int64 }

// publications turns what is on each queue at the end into appends, each from when its message was first sent (or its
// commit asked for) until somebody was told that it is there.
func publications(events []event) map[string][]porcupine.Operation {
	spans := sendings(events)
	found := histories{}
	ends := map[string]int{}
	for _, one := range events {
		key := fmt.Sprintf("%s/%d", one.Topic, one.Queue)
		switch one.Kind {
		case "log":
			ends[key] = one.Next
			for _, record := range one.Records {
				if when, sent := spans[record.ID]; sent {
					found.add(key, when.began, when.ended, place{offset: record.Offset, appends: true})
				}
			}
			found.add(key, one.Began, one.Ended, place{offset: one.Next, exactly: true})
		case "deliver":
			for _, record := range one.Records {
				// Delivered at any time up to its arrival: by then the queue had reached it, and at the latest then.
				found.add(key, one.Ended, one.Ended, place{offset: record.Offset})
			}
		}
	}
	for key := range found {
		if _, read := ends[key]; !read {
			// Without the queue at the end nobody knows what the unanswered ones came to.
			delete(found, key)
		}
	}
	return found
}

// sendings returns by message when it was first sent, and when somebody was first told that it is visible. A half
// message counts from when its commit was first asked for, or from its prepare where a check may have decided it.
func sendings(events []event) map[string]span {
	spans := map[string]span{}
	transactions := map[string][]string{}
	note := func(id string, began, ended int64) {
		was, known := spans[id]
		if known {
			began, ended = min(began, was.began), min(ended, was.ended)
		}
		spans[id] = span{began, ended}
	}
	for _, one := range events {
		switch one.Kind {
		case "publish":
			for _, sent := range one.Messages {
				if one.Outcome == outcomeRefused {
					// The checker holds that it is not there; if it is, it came at no time this tells.
					note(sent.ID, one.Began, never)
				} else {
					note(sent.ID, one.Began, until(one))
				}
			}
		case "prepare":
			for _, sent := range one.Messages {
				transactions[one.Transaction] = append(transactions[one.Transaction], sent.ID)
				note(sent.ID, one.Began, never)
			}
		}
	}
	for _, one := range events {
		if one.Kind == "decide" && one.Wanted == committed && one.Outcome == outcomeOK {
			for _, id := range transactions[one.Transaction] {
				note(id, one.Ended, one.Ended)
			}
		}
	}
	return spans
}

// slicesOf cuts a queue's operations into pieces of a bounded number of offsets, each with its own first offset.
func slicesOf(operations []porcupine.Operation) map[int][]porcupine.Operation {
	slices.SortStableFunc(operations, func(a, b porcupine.Operation) int {
		return cmp.Compare(a.Input.(place).offset, b.Input.(place).offset)
	})
	pieces := map[int][]porcupine.Operation{}
	first := 0
	if len(operations) > 0 {
		first = operations[0].Input.(place).offset
	}
	for at, one := range operations {
		offset := one.Input.(place).offset
		if len(pieces[first]) >= operationsMax && offset != operations[at-1].Input.(place).offset {
			first = offset
		}
		pieces[first] = append(pieces[first], one)
	}
	return pieces
}

// verdict is an operation on a transaction: deciding it, being told how it was decided, or seeing its message.
type verdict struct {
	wanted string
	found  string
}

// decideModel is a transaction: "" in doubt, else how it was decided. The first decision is final.
var decideModel = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		is, step := state.(string), input.(verdict)
		switch {
		case step.found != "":
			return is == step.found, is
		case is == "":
			return true, step.wanted
		default:
			return is == step.wanted, is
		}
	},
}

// maybeDecideModel adds decisions of which nobody knows whether they came first.
var maybeDecideModel = porcupine.Model{
	Init: decideModel.Init,
	Step: func(state, input, output any) (bool, any) {
		if output == true && state.(string) != "" {
			return true, state
		}
		return decideModel.Step(state, input, output)
	},
}

func decisions(events []event) map[string][]porcupine.Operation {
	found := histories{}
	messages := map[string]string{}
	for _, one := range events {
		switch {
		case one.Kind == "prepare":
			for _, sent := range one.Messages {
				messages[sent.ID] = one.Transaction
			}
		case one.Kind == "decide" && one.Found != "":
			found.add(one.Transaction, one.Began, one.Ended, verdict{found: one.Found})
		case one.Kind == "decide" && one.Outcome != outcomeRefused:
			operation := porcupine.Operation{Input: verdict{wanted: one.Wanted}, Call: one.Began, Return: until(one)}
			operation.Output = one.Outcome == outcomeUnknown
			found[one.Transaction] = append(found[one.Transaction], operation)
		}
	}
	for _, one := range events {
		if one.Kind != "deliver" && one.Kind != "log" {
			continue
		}
		for _, record := range one.Records {
			if transaction, half := messages[record.ID]; half {
				found.add(transaction, one.Ended, one.Ended, verdict{found: committed})
			}
		}
	}
	return found
}

// done is an operation of a group on one offset: saying it is done, getting it, or standing above it.
type done struct{ acknowledges, above bool }

// offsetModel is one offset of a group: whether it is done. What is done never comes again.
var offsetModel = porcupine.Model{
	Init: func() any { return false },
	Step: func(state, input, _ any) (bool, any) {
		is, step := state.(bool), input.(done)
		switch {
		case step.acknowledges:
			return true, true
		case step.above:
			return is, is
		default:
			return !is, is
		}
	},
}

func groupOffsets(events []event) map[string][]porcupine.Operation {
	found := histories{}
	for _, one := range events {
		key := func(offset int) string { return fmt.Sprintf("%s %s/%d %d", one.Group, one.Topic, one.Queue, offset) }
		switch one.Kind {
		case "deliver":
			for _, record := range one.Records {
				// Leased at some time since the consumer had made room for it.
				found.add(key(record.Offset), one.Began, one.Ended, done{})
			}
		case "acknowledge":
			for _, offset := range one.Offsets {
				if one.Outcome != outcomeRefused {
					found.add(key(offset), one.Began, until(one), done{acknowledges: true})
				}
			}
		}
	}
	for _, one := range events {
		if one.Kind == "stand" {
			for offset := range one.Floor {
				key := fmt.Sprintf("%s %s/%d %d", one.Group, one.Topic, one.Queue, offset)
				found.add(key, one.Began, one.Ended, done{above: true})
			}
		}
	}
	return found
}

// topicModel is a topic's name: how many queues the topic of this name has, 0 where there is none.
var topicModel = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, _ any) (bool, any) {
		is, one := state.(int), input.(event)
		refused, unknown := one.Outcome == outcomeRefused, one.Outcome == outcomeUnknown
		switch one.Call {
		case "create":
			if refused {
				return is != 0 && is != one.Queues, is
			}
			if unknown && is != 0 {
				return true, is
			}
			return is == 0 || is == one.Queues, one.Queues
		case "delete":
			if refused {
				return is == 0, is
			}
			return is != 0 || unknown, 0
		default:
			if refused {
				return is == 0, is
			}
			return is == one.Queues, is
		}
	},
}

// topics leaves out the refusals that tell nothing of the name.
func topics(events []event) map[string][]porcupine.Operation {
	found := histories{}
	for _, one := range events {
		told := one.Outcome == outcomeOK || (one.Outcome == outcomeUnknown && one.Call != "get")
		if one.Kind == "topic" && (told || one.Absent || one.Differs) {
			found.add(one.Name, one.Began, until(one), one)
		}
	}
	return found
}
