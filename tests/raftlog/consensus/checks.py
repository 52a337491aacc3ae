"""What must always hold in a world of nodes, whatever happens to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tallymq.raftlog.messages import AppendEntries, AppendReply, Message, RequestVote, VoteReply

if TYPE_CHECKING:
    from tallymq.raftlog.consensus import ProposalOutcome
    from tests.raftlog.consensus.world import Node

SHARD = 3


class Violation(BaseException):
    """A promise of Raft was broken. Not an Exception: a shard that stops over those would hide it."""


class Checks:
    """Kept by a world; its nodes call it at whatever they apply and send."""

    nodes: dict[str, Node]
    majority_checked: bool
    applied: dict[int, tuple[int, bytes]]
    acknowledged: dict[int, bytes]
    leaders: dict[int, str]
    voted: dict[tuple[str, int], str]
    outcomes: dict[bytes, list[ProposalOutcome]]

    def _durable_on(self, index: int, term: int) -> list[str]:
        logs = {name: node.log.durable(SHARD).entries for name, node in self.nodes.items()}
        return [name for name, log in logs.items() if len(log) >= index and log[index - 1][0] == term]

    def _is_on_a_majority(self, node: Node, index: int, term: int) -> bool:
        """By the configuration that counted at the entry, or by a later one that some leader had appended by then."""
        holders = set(self._durable_on(index, term))
        for other in [node, *[one for one in self.nodes.values() if one.alive]]:
            known = other.consensus._shard.configurations._noted
            first = max(at for at, noted in enumerate(known) if noted.index <= index or at == 0)
            for noted in known[first:]:
                names = {place.node for place in noted.configuration.voters}
                if names and 2 * len(holders & names) > len(names):
                    return True
        return False

    def check_applied(self, node: Node, index: int, term: int, payload: bytes) -> None:
        first = self.applied.setdefault(index, (term, payload))
        if first != (term, payload):
            raise Violation(f"{node.name} applied {(term, payload)} at {index}, another node {first}")
        if self.majority_checked and not self._is_on_a_majority(node, index, term):
            raise Violation(f"{node.name} applied entry {index}, durable on {self._durable_on(index, term)} only")
        durable = node.log.durable(SHARD).entries
        if len(durable) < index or durable[index - 1][0] != term:
            raise Violation(f"{node.name} applied entry {index} before it was durable there")

    def check_sent(self, node: Node, peer: str, message: Message) -> None:
        durable = node.log.durable(SHARD)
        is_trial = isinstance(message, RequestVote | VoteReply) and message.trial
        if message.term > durable.term and not is_trial:
            raise Violation(f"{node.name} speaks in term {message.term}, durable is {durable.term}")
        if isinstance(message, VoteReply) and message.granted and not is_trial:
            if durable.term == message.term and durable.voted_for != peer:
                raise Violation(f"{node.name} voted for {peer}, durable is {durable.voted_for}")
            if self.voted.setdefault((node.name, message.term), peer) != peer:
                raise Violation(f"{node.name} voted twice in term {message.term}")
        if isinstance(message, AppendReply) and message.synced_index > len(durable.entries):
            raise Violation(f"{node.name} says {message.synced_index} is synced, durable is {len(durable.entries)}")
        if isinstance(message, AppendEntries) and self.leaders.setdefault(message.term, node.name) != node.name:
            raise Violation(f"{node.name} and {self.leaders[message.term]} lead term {message.term}")

    def _check_leader(self, node: Node) -> None:
        term = node.consensus.term
        if term in self.leaders:
            if self.leaders[term] != node.name:
                raise Violation(f"two leaders in term {term}")
            return
        self.leaders[term] = node.name
        entries = node.log.shard_state(SHARD).entries
        for index, (applied_term, payload) in self.applied.items():
            if len(entries) < index or entries[index - 1] != (applied_term, payload):
                raise Violation(f"{node.name} leads term {term} without entry {index}")

    def check_all(self) -> None:
        """Compare all logs and states, and look for everything that was acknowledged."""
        for index, payload in self.acknowledged.items():
            if self.applied[index][1] != payload:
                raise Violation(f"acknowledged entry {index} is another one now")
        logs = [node.log.shard_state(SHARD).entries for node in self.nodes.values()]
        for one in logs:
            for other in logs:
                same = [i for i in range(min(len(one), len(other))) if one[i][0] == other[i][0]]
                if same and one[: same[-1] + 1] != other[: same[-1] + 1]:
                    raise Violation("two logs agree at an index and differ before it")
        for node in self.nodes.values():
            if node.alive and node.consensus.health != "ok":
                raise Violation(f"{node.name}: {node.consensus.health}")
        for payload, outcomes in self.outcomes.items():
            if len(outcomes) > 1:
                raise Violation(f"the caller of {payload!r} was told {len(outcomes)} times")
