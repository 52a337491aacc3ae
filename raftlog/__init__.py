"""The memory: what makes a decision of the rules survive.

Entries come in as proposals, are appended to the node's one log, sent to the peers, synced, and applied by `txn`; what
that changes goes into the store. This room knows no topic, no consumer and no gRPC.

Rules of this room, kept by the files named:

Rule 1 (sync). Nothing that promises an entry counts before its round is synced: an answer to the leader, the leader's
    own count, a vote (`log`, `consensus_durability`, `consensus_applying`).
Rule 2 (once). The effects of an entry, its applied index and its place in the log are written as one (`replica`).
Rule 3 (damage). What was synced and cannot be read is damage, and is said to be. Only what follows the last mark known
    to be synced may be cut (`recovery`). Single bodies are repaired from other nodes (`repair`).
Rule 4 (no guess). Bytes of a newer version, or that do not verify, stop their shard or the node; they are never
    skipped (`codec`, `records`).
Rule 5 (bound). Every queue, buffer and retry has a bound: a proposal beyond it is refused (`proposals`, `links`).
Rule 6 (doors). Loop, threads, sockets and files are known to `host`, the links and the real disk alone; one file
    imports pysyncobj (`consensus_door`), one rocksdict (`rocks`). All else is driven by ticks, messages and synced
    rounds.

Reading order: `log` and `records` (bytes on a disk), `recovery`, `consensus` (which lists its ideas), `replica`,
`snapshot` (which lists its own), `host`.
"""
