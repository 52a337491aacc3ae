"""The face: what meets a caller or a clock.

A call is checked, becomes a command, is proposed to the shard that it concerns, and its result becomes the reply. This
room decides nothing about messages, and remembers only who waits: what it forgets with its process, clients bring
again.

Rules of this room, kept by the files named:

Rule 1 (refusal). Whatever goes wrong leaves as a row of the one table, which says whether it certainly did not happen
    (`errors`, `calls`). What a caller gets wrong is refused before anything is proposed (`validation`, `batches`).
Rule 2 (bytes). Records are checked once, as they arrive, and never encoded again. Only visible records leave
    (`batches`, `slices`).
Rule 3 (bound). A stream is read only while what is under way on it is bounded, in frames and in bytes; what a client
    does not take is not leased for it (`produce`, `subscription`, `delivery`).
Rule 4 (leader). Only the shard's leader leases, checks and expires; another node names the leader (`cluster`).
Rule 5 (time). What is due is told by the time the shard would stamp, not by this machine's clock (`alarm`, `checks`,
    `timers`).
Rule 6 (drain). A node told to stop takes nothing new, and finishes what is under way (`calls`, `node`).

Reading order: `__main__` and `node` (start and stop), `messaging` and `admin` (every method), then `frames` and
`produce` (what producers send), `delivery` and `consumers` (what consumers get), `checks`, `reconcile`.
"""
