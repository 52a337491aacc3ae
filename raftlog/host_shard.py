"""One shard of this node as its callers see it: proposals go in, results come out, applied state can be read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol, cast

import google_crc32c

from tallymq.raftlog.codec import encode_entry
from tallymq.raftlog.consensus import Consensus, ProposalKind, ProposalOutcome, ReadKind
from tallymq.raftlog.consensus_progress import PeerCopy
from tallymq.raftlog.errors import (
    BodyDamaged,
    DiskFull,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    RaftLogError,
    ShardStopped,
    Taken,
)
from tallymq.raftlog.log import NodeLog
from tallymq.raftlog.membership import Change, Configuration, Refusal, node_of
from tallymq.raftlog.proposals import Body, Proposal, Proposals, proposal_bytes
from tallymq.raftlog.replica import Replica
from tallymq.raftlog.settings import PAYLOAD_BYTES_MAX
from tallymq.raftlog.stamps import Stamps
from tallymq.txn.commands import (
    Acknowledge,
    Command,
    ConfirmDelete,
    CreateTopic,
    DeleteTopic,
    DropQueue,
    EnsureQueue,
    Prepare,
    Publish,
    PutGroup,
    RemoveTopic,
    TrimQueue,
)
from tallymq.txn.outcomes import Result
from tallymq.txn.types import Batch, Reference, View

ROUND_BYTES_MAX = 4 * 1024 * 1024
"""What one shard appends in one round: enough to keep a disk busy, little enough to leave the loop to others."""
OK = "ok"

_FREEING = (TrimQueue, DropQueue, DeleteTopic, ConfirmDelete, RemoveTopic, Acknowledge)
_NEW = (Publish, Prepare, CreateTopic, EnsureQueue, PutGroup)


def is_taken(command: Command, taken: Taken) -> bool:
    """Return whether a node that takes only so much takes this."""
    if taken is Taken.KNOWN:
        return not isinstance(command, _NEW)
    return taken is Taken.FREEING and isinstance(command, _FREEING)


Caller = asyncio.Future[Result]


class ShardOwner(Protocol):
    """What a shard asks of the host."""

    @property
    def refusal(self) -> RaftLogError | None:
        """Why nothing is accepted now, or None."""

    def wake(self) -> None:
        """There is something for the next round."""


class ShardHandle:
    """One shard: propose, read, look. Everything is called on the loop."""

    def __init__(
        self,
        owner: ShardOwner,
        consensus: Consensus,
        replica: Replica,
        log: NodeLog,
        stamps: Stamps,
        proposals: Proposals[Caller],
    ) -> None:
        self.number = consensus.shard
        self._owner = owner
        self._consensus = consensus
        self._replica = replica
        self._log = log
        self._stamps = stamps
        self._proposals = proposals
        self.on_damaged: Callable[[Reference], None] = lambda reference: None
        """Told of what `read` could not serve; the host sees to its repair."""
        self._appended: dict[int, list[Proposal[Caller]]] = {}
        self._entries = 0

    @property
    def is_leader(self) -> bool:
        """Whether this node leads the shard and its state lacks nothing that was acknowledged before."""
        return self._consensus.is_ready

    @property
    def leader(self) -> str:
        """Name of the node that leads as far as known, else ""."""
        return node_of(self._consensus.leader)

    @property
    def configuration(self) -> Configuration:
        """Who the shard's members are, as far as this node knows."""
        return self._consensus.configuration

    @property
    def term(self) -> int:
        """The present term."""
        return self._consensus.term

    @property
    def majority_index(self) -> int:
        """Up to here the log is known to be durable on a majority."""
        return self._consensus.majority_index

    @property
    def applied_index(self) -> int:
        """Up to here it is applied here."""
        return self._consensus.applied_index

    @property
    def last_index(self) -> int:
        """Where the log ends here."""
        return self._consensus.last_index

    @property
    def base_index(self) -> int:
        """Where the log begins here: entries up to here are not in it any more."""
        return self._consensus.base_index

    @property
    def voters(self) -> tuple[str, ...]:
        """Nodes whose copies count for a majority, by name."""
        return tuple(sorted(place.node for place in self._consensus.configuration.voters))

    @property
    def learners(self) -> tuple[str, ...]:
        """Nodes that are brought up to date and do not count, by name."""
        return tuple(sorted(place.node for place in self._consensus.configuration.learners))

    def peer_copies(self) -> tuple[PeerCopy, ...]:
        """On the leader: what it knows of the other nodes' copies, by name; elsewhere nothing."""
        return tuple(replace(copy, member=node_of(copy.member)) for copy in self._consensus.peer_copies())

    @property
    def health(self) -> str:
        """ "ok", or why the shard does not serve on this node."""
        return self._consensus.health

    @property
    def clock_ms(self) -> int:
        """Unix milliseconds as an entry appended now would be stamped; a jump of the machine's clock hardly shows."""
        return self._stamps.next_ms()

    @property
    def view(self) -> View:
        """The applied state, with effects that RocksDB does not have yet."""
        return self._replica.view

    @property
    def waiting_bytes(self) -> int:
        """Proposals not yet answered."""
        return self._proposals.held_bytes

    def propose(self, command: Command, bodies: Sequence[Body] = ()) -> Caller:
        """Store a command; the future gives what the rules answer once a majority has it.

        `bodies`: one for each batch of the command, in order, of the length and checksum that the batch states. Raises
        NotLeader, Overloaded, DiskFull, ShardStopped at once (definite), ValueError for bodies that are not the
        command's. The future raises NotLeader (definite) or OutcomeUnknown.
        """
        refusal = self._refusal()
        if refusal is not None and not (isinstance(refusal, DiskFull) and is_taken(command, refusal.taken)):
            raise refusal
        size = _checked_bytes(command, bodies)
        caller: Caller = asyncio.get_running_loop().create_future()
        if not self._proposals.add(command, bodies, caller, size):
            raise Overloaded(f"{self._proposals.held_bytes} bytes wait to be stored in shard {self.number}")
        self._owner.wake()
        return caller

    def read_barrier(self) -> asyncio.Future[None]:
        """Wait until `view` holds everything that was acknowledged before this call, by whichever leader.

        Callers of one moment share a round of heartbeats. Raises ShardStopped, NotLeader; the future NotLeader,
        Overloaded: all definite, for nothing was asked to be stored.
        """
        refusal = self._refusal()
        if refusal is not None and not isinstance(refusal, DiskFull):
            raise refusal
        caller: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._consensus.read_index(partial(self._answer_read, caller))
        self._owner.wake()
        return caller

    def _answer_read(self, caller: asyncio.Future[None], kind: ReadKind) -> None:
        if caller.done():
            return
        if kind is ReadKind.READY:
            caller.set_result(None)
        elif kind is ReadKind.OVERLOADED:
            caller.set_exception(Overloaded(f"too many reads wait in shard {self.number}"))
        else:
            caller.set_exception(NotLeader(self.leader) if self.health == OK else ShardStopped(self.health))

    def transfer(self, to_node: str = "") -> asyncio.Future[Refusal | None]:
        """Hand the leadership to a node, "" for whichever has most of the log; None once it is done, else why not.

        What was proposed and is not appended yet waits meanwhile; it is answered here if nothing comes of it, and
        turned away with NotLeader (definite) if something does.
        """
        caller: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        member = self.configuration.member_on(to_node) if to_node else self._consensus.best_successor
        self._consensus.transfer(member, lambda refusal: None if caller.done() else caller.set_result(refusal))
        self._owner.wake()
        return caller

    def change_members(self, change: Change) -> asyncio.Future[Refusal | None]:
        """Change who the shard's members are; None once a majority of the new ones has it, else why nothing was done.

        The future raises OutcomeUnknown: look at `configuration` of the next leader, and ask again if it is not done.
        """
        caller: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        self._consensus.propose_configuration(change, partial(self._answer_change, caller))
        self._owner.wake()
        return caller

    def _answer_change(self, caller: asyncio.Future[Refusal | None], outcome: ProposalOutcome) -> None:
        if caller.done():
            return
        if outcome.kind is ProposalKind.UNKNOWN:
            caller.set_exception(self._failure(outcome.kind))
        else:
            caller.set_result(cast("Refusal", outcome.result) if outcome.kind is ProposalKind.REFUSED else None)

    def read(self, reference: Reference) -> bytes:
        """Return exactly the bytes of a batch. Raises BodyDamaged: they are not what was stored, and not served.

        The other nodes are then asked for them: a later call may find them repaired.
        """
        try:
            return self._read(reference)
        except BodyDamaged:
            self.on_damaged(reference)
            raise

    def _read(self, reference: Reference) -> bytes:
        try:
            data = self._log.read_slice(self.number, reference.index, reference.start, reference.length)
        except (LookupError, OSError) as error:
            raise BodyDamaged(f"entry {reference.index} of shard {self.number} cannot be read: {error}") from error
        if len(data) != reference.length or google_crc32c.value(data) != reference.crc32c:
            raise BodyDamaged(
                f"batch {reference.batch} of entry {reference.index} of shard {self.number} fails its checksum"
            )
        return data

    def gather(self) -> None:
        """Make entries of what waits, and append them."""
        if self._proposals and not self._consensus.is_leader:
            # Leadership may end before it was ever told to anyone, and callers may have come in that while.
            self.lost_leadership()
        taken_bytes = 0
        while self._proposals and taken_bytes < ROUND_BYTES_MAX and self._may_append():
            taken = self._proposals.take()
            taken_bytes += sum(proposal.size for proposal in taken)
            self._append(taken)

    def _may_append(self) -> bool:
        return self._consensus.is_ready and not self._consensus.is_transferring

    def lost_leadership(self) -> None:
        """Nothing that still waits was appended: say so, definite."""
        healthy = self.health == OK
        self.refuse_waiting(NotLeader(self.leader) if healthy else ShardStopped(self.health))

    def refuse_waiting(self, error: RaftLogError) -> None:
        """Turn away what was not appended."""
        for proposal in self._proposals.withdraw():
            _fail(proposal.waiter, error)

    def abandon(self, reason: str) -> None:
        """The node stops: what was appended may have happened, what waits has not."""
        self.refuse_waiting(ShardStopped(reason))
        for entry in list(self._appended):
            for proposal in self._appended.pop(entry):
                _fail(proposal.waiter, OutcomeUnknown(reason))

    def _refusal(self) -> RaftLogError | None:
        if self.health != OK:
            return ShardStopped(self.health)
        refusal = self._owner.refusal
        if refusal is not None and not isinstance(refusal, DiskFull):
            return refusal
        if not self._consensus.is_leader:
            return NotLeader(self.leader)
        return refusal

    def _append(self, taken: list[Proposal[Caller]]) -> None:
        try:
            payload = self._encode(taken)
        except (ValueError, TypeError, OverflowError) as error:
            # One caller's number out of range must not take the others down with it.
            if len(taken) > 1:
                for proposal in taken:
                    self._append([proposal])
            else:
                self._proposals.release(taken)
                _fail(taken[0].waiter, ValueError(f"this command cannot be stored: {error}"))
            return
        self._entries += 1
        self._appended[self._entries] = taken
        self._consensus.propose((payload,), partial(self._answer, self._entries))

    def _encode(self, proposals: list[Proposal[Caller]]) -> bytes:
        joined = [(proposal.command, proposal.bodies) for proposal in proposals]
        # Joined once here: log and followers then share these bytes.
        payload = b"".join(encode_entry(self._stamps.next_ms(), joined))
        if len(payload) > PAYLOAD_BYTES_MAX:
            # An entry that fits no frame between nodes could never reach a follower, and nothing behind it either.
            raise ValueError(f"it takes {len(payload)} bytes of an entry, which may have {PAYLOAD_BYTES_MAX}")
        return payload

    def _answer(self, entry: int, outcome: ProposalOutcome) -> None:
        taken = self._appended.pop(entry, None)
        if taken is None:
            return
        self._proposals.release(taken)
        if outcome.kind is ProposalKind.APPLIED:
            results = cast("Sequence[Result]", outcome.result)
            for proposal, result in zip(taken, results, strict=True):
                if not proposal.waiter.done():
                    proposal.waiter.set_result(result)
            return
        for proposal in taken:
            _fail(proposal.waiter, self._failure(outcome.kind))

    def _failure(self, kind: ProposalKind) -> RaftLogError:
        if kind is ProposalKind.NOT_LEADER:
            return NotLeader(self.leader)
        if kind is ProposalKind.OVERLOADED:
            return Overloaded(f"too much of shard {self.number} is appended and not yet applied")
        return OutcomeUnknown(f"shard {self.number} lost its leader while this was being stored")


def _fail(caller: Caller, error: Exception) -> None:
    if not caller.done():
        caller.set_exception(error)


def _checked_bytes(command: Command, bodies: Sequence[Body]) -> int:
    batches: Sequence[Batch] = getattr(command, "batches", ())
    if [batch.length for batch in batches] != [len(body) for body in bodies]:
        raise ValueError("bodies are not those of the command's batches")
    size = proposal_bytes(command, bodies)
    if size > PAYLOAD_BYTES_MAX:
        raise ValueError(f"a command with its bodies may have {PAYLOAD_BYTES_MAX} bytes")
    return size
