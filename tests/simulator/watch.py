"""What must always hold, looked at while it happens: by what reached the disk, not by what a node believes.

- Election safety: one leader a term. Nobody votes twice in a term, and nobody says anything in a term, or votes, that a
  restart shows it had not stored.
- Log matching: an entry of one index and term is the same everywhere, and so is the one before it.
- Leader completeness: whoever comes to lead has every entry that anyone applied.
- State machine safety: all apply the same entry at an index, and answer the same.
- Durability: what is applied is on the stable storage of a majority, the applying node's own included. A node that
  starts finds all that was synced, and of the rest a prefix.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from zlib import crc32

from tallymq.raftlog.log import NodeLog
from tallymq.raftlog.messages import AppendEntries, AppendReply, Message, RequestVote, VoteReply
from tallymq.raftlog.payloads import NOWHERE, Base, Position

if TYPE_CHECKING:
    from tests.simulator.node import Node
    from tests.simulator.world import World


class Violation(BaseException):
    """A promise was broken. Not an Exception: a shard that stops over those would hide it."""


class ShardShadow:
    """A shard's log as lists: the terms of its entries (the first has index 1), term and vote."""

    def __init__(self, term: int = 0, voted_for: str = "", terms: Sequence[int] = ()) -> None:
        self.term = term
        self.voted_for = voted_for
        self.terms = list(terms)

    def do(self, operation: tuple[str, int, str]) -> None:
        kind, number, voted_for = operation
        if kind == "base":
            self.terms = self.terms_after(number, int(voted_for))
        elif kind == "entry":
            self.terms.append(number)
        elif kind == "truncate":
            del self.terms[number - 1 :]
        else:
            self.term, self.voted_for = number, voted_for

    def terms_after(self, index: int, term: int) -> list[int]:
        """Return the terms behind a new base: what fits it stays, or else nothing is known of what came before."""
        if len(self.terms) >= index and self.terms[index - 1] == term:
            return self.terms
        return [0] * (index - 1) + [term]

    def same(self, other: "ShardShadow") -> bool:
        if (self.term, self.voted_for, len(self.terms)) != (other.term, other.voted_for, len(other.terms)):
            return False
        # 0 is an entry before a base, of which the log does not say the term.
        return all(one == two or not one or not two for one, two in zip(self.terms, other.terms, strict=True))


class Shadow:
    """What one node's disk must hold: what was synced, and in order what was written since."""

    def __init__(self, shards: int) -> None:
        self.durable = [ShardShadow() for _ in range(shards)]
        self.since: list[tuple[int, int, tuple[str, int, str]]] = []
        # Up to here every record is known to be synced, and a synced record says so: damage before it cannot pass
        # for a tail that was never finished.
        self.stated: Position = NOWHERE

    def synced(self, written: int) -> None:
        """All rounds up to this one reached the disk."""
        count = 0
        for round_number, shard, operation in self.since:
            if round_number > written:
                break
            self.durable[shard].do(operation)
            count += 1
        del self.since[:count]

    def matches(self, found: list[ShardShadow]) -> bool:
        """Return whether a node that starts found what it must; take it over as durable."""
        rest = list(self.since)
        while True:
            if all(map(ShardShadow.same, self.durable, found)):
                self.since.clear()
                return True
            if not rest:
                return False
            _, shard, operation = rest.pop(0)
            self.durable[shard].do(operation)


class WatchedLog(NodeLog):
    """The real log; tells the shadow what is appended. Set `shadow` and `watch` after `open`."""

    shadow: Shadow
    node: "Node"
    _stating: tuple[int, Position] = (0, NOWHERE)

    def append_entry(self, shard: int, index: int, term: int, payload: Sequence[bytes | memoryview]) -> None:
        super().append_entry(shard, index, term, payload)
        self.shadow.since.append((self.round_open, shard, ("entry", term, "")))
        self.node.world.watch.appended(self, self.node, shard, index, term, payload)

    def append_truncate(self, shard: int, from_index: int) -> None:
        super().append_truncate(shard, from_index)
        self.shadow.since.append((self.round_open, shard, ("truncate", from_index, "")))

    def append_base(self, shard: int, base: Base) -> None:
        super().append_base(shard, base)
        self.shadow.since.append((self.round_open, shard, ("base", base.index, str(base.term))))

    def append_hard_state(self, shard: int, term: int, voted_for: str) -> None:
        super().append_hard_state(shard, term, voted_for)
        self.shadow.since.append((self.round_open, shard, ("hard state", term, voted_for)))

    def write_round(self) -> int | None:
        if not self._drafts:
            return None
        stated = self._writer.synced_end.position
        written = super().write_round()
        if written is not None:
            self._stating = (written, stated)
        return written

    def reached_disk(self, written: int) -> None:
        """Call after `sync` returned: that is when the bytes are safe, whatever the log makes of it."""
        self.shadow.synced(written)
        if self._stating[0] <= written:
            self.shadow.stated = max(self.shadow.stated, self._stating[1])


def observed(log: NodeLog, shards: int) -> list[ShardShadow]:
    """Return what a log says it holds."""
    found = []
    for shard in range(shards):
        state = log.shard_state(shard)
        terms = [log.term_at(shard, index) or 0 for index in range(1, state.last_index + 1)]
        found.append(ShardShadow(state.term, state.voted_for, terms))
    return found


class Watch:
    """The invariants of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._leaders: dict[tuple[int, int], str] = {}
        self._votes: dict[tuple[int, str, int], str] = {}
        self._said: dict[tuple[int, str], int] = {}
        self._entries: dict[tuple[int, int, int], tuple[int, int]] = {}
        self.applied: list[list[tuple[int, int, int]]] = [[] for _ in range(world.shape.shards)]
        self.applied_count = 0

    def appended(
        self, log: NodeLog, node: "Node", shard: int, index: int, term: int, payload: Sequence[bytes | memoryview]
    ) -> None:
        """Log matching, an entry at a time."""
        checksum = 0
        for piece in payload:
            checksum = crc32(piece, checksum)
        entry = (log.term_at(shard, index - 1) or 0, checksum)
        first = self._entries.setdefault((shard, index, term), entry)
        if first != entry:
            raise Violation(f"log matching: {node.name} has another entry {index} of term {term} in shard {shard}")

    def sent(self, node: "Node", shard: int, peer: str, message: Message) -> None:
        """Note what a node says in public."""
        kind = type(message)
        if kind is AppendEntries:
            self._leads(node, shard, message.term)
        elif kind is RequestVote or kind is VoteReply:
            if message.trial:  # type: ignore[union-attr]
                return
            if kind is VoteReply and message.granted:  # type: ignore[union-attr]
                self._voted(node, shard, message.term, peer)
            elif kind is RequestVote:
                self._voted(node, shard, message.term, node.name)
        said = self._said.get((shard, node.name), 0)
        if message.term > said:
            self._said[shard, node.name] = message.term
        if kind is AppendReply:
            self._announced(node, shard, message)  # type: ignore[arg-type]

    def _leads(self, node: "Node", shard: int, term: int) -> None:
        if self._leaders.setdefault((shard, term), node.name) != node.name:
            raise Violation(
                f"election safety: {node.name} and {self._leaders[shard, term]} lead term {term} of {shard}"
            )

    def _voted(self, node: "Node", shard: int, term: int, candidate: str) -> None:
        first = self._votes.setdefault((shard, node.name, term), candidate)
        if first != candidate:
            raise Violation(f"{node.name} voted for {first} and {candidate} in term {term} of shard {shard}")

    def _announced(self, node: "Node", shard: int, message: AppendReply) -> None:
        durable = node.shadow.durable[shard].terms
        index = message.synced_index
        if index and (index > len(durable) or node.log.term_at(shard, index) not in (durable[index - 1], None)):
            raise Violation(f"durability: {node.name} says {index} of shard {shard} is synced, that is {len(durable)}")

    def led(self, node: "Node", shard: int) -> None:
        """Leader completeness, when a node says it leads."""
        term = node.members[shard].term
        self._leads(node, shard, term)
        base_index = node.members[shard].base_index
        for index, (entry_term, _, _) in enumerate(self.applied[shard], 1):
            if index >= base_index and node.log.term_at(shard, index) != entry_term:
                raise Violation(f"leader completeness: {node.name} leads term {term} of {shard} without entry {index}")

    def applies(self, node: "Node", shard: int, index: int, term: int) -> None:
        """Durability, before an entry is applied."""
        own = node.shadow.durable[shard].terms
        if len(own) < index or own[index - 1] != term:
            raise Violation(f"durability: {node.name} applies {index} of shard {shard}, which is not synced there")
        count = 0
        for other in self._world.nodes.values():
            terms = other.shadow.durable[shard].terms
            count += len(terms) >= index and terms[index - 1] in (term, 0)
        if len(self.applied[shard]) < index and 2 * count <= len(self._world.names):
            raise Violation(f"durability: {node.name} applies {index} of shard {shard}, which {count} nodes hold")

    def applied_one(self, node: "Node", shard: int, index: int, entry: tuple[int, int, int]) -> None:
        """State machine safety: `entry` is term, checksum of the payload, checksum of the results."""
        applied = self.applied[shard]
        self.applied_count += 1
        if index == len(applied) + 1:
            applied.append(entry)
        elif applied[index - 1] != entry:
            raise Violation(f"state machine safety: {node.name} applies {entry} at {index}, not {applied[index - 1]}")

    def started(self, node: "Node") -> None:
        """Look at what a node found on its disk."""
        found = observed(node.log, self._world.shape.shards)
        for shard, state in enumerate(found):
            said = self._said.get((shard, node.name), 0)
            if state.term < said:
                raise Violation(f"{node.name} starts in term {state.term} of shard {shard}, it spoke in term {said}")
            vote = self._votes.get((shard, node.name, state.term))
            if vote is not None and state.voted_for != vote:
                raise Violation(f"{node.name} forgot its vote for {vote} in term {state.term} of shard {shard}")
        if not node.shadow.matches(found):
            raise Violation(f"durability: {node.name} does not find what it had synced")
