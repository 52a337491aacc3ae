"""The rules: pure state machines. No clock, thread, input, output, randomness, protobuf or logging.

`machine.apply(view, entry)` takes the commands of one Raft entry and returns one result for each, and what changes, as
values; `queries` asks a view without changing it. Everything a caller can get wrong has a refusal with a name
(`outcomes.Refusal`), and a refused command has changed nothing. An exception is a bug of these rules: the shard stops.

The rules, each at the head of the file that keeps it:

Rule 1 (frame). A frame is stored once, all of it or nothing, and never after its deadline.
Rule 2 (transaction). A record of a half batch is a transaction. The first decision wins; what is in doubt stays until
    somebody decides; only the group and principal that prepared, or an operator, may decide.
Rule 3 (queue). An offset is given when a record becomes visible: committed or published, and its delivery time
    reached. Offsets are dense and never given again. What is rolled back never gets one.
Rule 4 (piece). An offset that a group was given is leased, waiting, a dead letter or acknowledged: exactly one of
    these. The floor, below which nothing is outstanding, never goes back.
Rule 5 (lease). A message is leased to one consumer of a group at a time, by a token that grows with each lease.
Rule 6 (acknowledgement). Only the token that holds a message may speak of it; saying it again is fine.
Rule 7 (timer). What falls due happens by a replicated command, in the order of the due times, once.
Rule 8 (topic). A topic's number is never used again, and a queue with a transaction in doubt is not dropped. A deletion
    may be taken back until it is confirmed; nothing goes before.
Rule 9 (trimming). The oldest messages of a queue go as far as every group that stands on it has done with them.
Rule 10 (body). The bodies of a Raft entry are needed exactly while a queue entry, delayed records, a half batch or a
    dead letter refers to them.

Reading order: `types`, `commands`, `outcomes` (the words), `machine` (one table), then a rule's file. `state` and
`keys` say how everything lies in the store; `draft` is the store as the commands so far have left it.

No command takes longer than its own size allows: nothing is searched by scanning, no value grows with the number of
messages, and a batch that is published, prepared or decided whole costs the same whatever it holds.
"""
