"""Consensus of one shard: what goes in is a message, a tick, a sync or a proposal; what comes out are messages to send,
entries to apply and outcomes to tell. It knows no clock, thread, socket or file.

The ideas, a file each:
- `consensus_door`         the only door to pysyncobj, and what of it is used;
- `consensus_member`       roles and terms;
- `consensus_durability`   nothing of a term leaves before term and vote are synced;
- `consensus_replication`  entries to followers, `consensus_progress` what is known of each;
- `consensus_configuration` who counts, `consensus_changing` how that is changed;
- `consensus_transfer`     handing leadership over, `consensus_reading` reading without an entry;
- `consensus_restoring`    a snapshot in the place of what a follower lacks;
- `consensus_election`     votes, trials, and leaders that give up;
- `consensus_applying`     counting what is durable, applying it, `consensus_waiting` telling who waits.

`docs/decisions/0003-pysyncobj-overrides.md` has the table of faults and cures.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable, Iterable, Sequence

from tallymq.raftlog.consensus_changing import Changing
from tallymq.raftlog.consensus_door import LEADER
from tallymq.raftlog.consensus_member import NEVER_MS, OK, ConsensusSettings
from tallymq.raftlog.consensus_progress import PeerCopy
from tallymq.raftlog.consensus_reading import ReadKind
from tallymq.raftlog.consensus_waiting import NOT_LEADER, OVERLOADED, Done, ProposalKind, ProposalOutcome
from tallymq.raftlog.errors import BodyDamaged
from tallymq.raftlog.journal import Journal
from tallymq.raftlog.membership import Change, Configuration, Place, Refusal, founding, node_of
from tallymq.raftlog.messages import (
    AppendEntries,
    AppendReply,
    Message,
    Payload,
    RequestVote,
    TimeoutNow,
    VoteReply,
)

__all__ = ["Consensus", "ConsensusSettings", "Done", "ProposalKind", "ProposalOutcome", "ReadKind"]

APPLY_RETRY_MS = 10
"""How soon to look again when the store does not take more effects for now."""


class _Shard(Changing):
    """The end of the chain: what each message means, and what a tick does."""

    def received(self, peer: str, message: Message, to_member: str = "") -> None:
        if self.health != OK:
            return
        if not self.hears(peer, to_member):
            if isinstance(message, RequestVote):
                self.say_farewell(peer)
            return
        # A trial speaks of a term that nobody has entered yet.
        is_trial = isinstance(message, RequestVote | VoteReply) and message.trial
        if message.term > self.term and (not is_trial or (isinstance(message, VoteReply) and not message.granted)):
            self.adopt(message.term)
        try:
            self._take(peer, message)
        except BodyDamaged as error:
            # Found while looking for where the logs agree: it is this shard's log, the node's other shards go on.
            self.stop(str(error))
        self.advance()

    def _take(self, peer: str, message: Message) -> None:
        if isinstance(message, AppendEntries):
            self.take_append_entries(peer, message)
        elif isinstance(message, AppendReply):
            self.take_append_reply(peer, message)
            self.note_round(peer, message)
        elif isinstance(message, RequestVote):
            self.take_request_vote(peer, message)
        elif isinstance(message, VoteReply):
            self.take_vote_reply(peer, message)
        elif isinstance(message, TimeoutNow):
            self.take_timeout_now(peer, message)
        else:
            self.take_farewell(message)

    def tick(self) -> None:
        if self.health != OK:
            return
        now_ms = self.now_ms()
        if self.role == LEADER:
            self.check_quorum(now_ms)
        else:
            self.maybe_campaign(now_ms)
        if self.role == LEADER and now_ms >= self.heartbeat_due_ms:
            self.heartbeat()
        self.advance()

    def synced(self) -> None:
        """Make use of what has become durable."""
        if self.health == OK:
            self.outbox.release()
            self.announce_synced()
            self.advance()

    def connected(self, peer: str) -> None:
        """A link came up: what was on its way may be lost."""
        self.note_connected(peer)
        self._probe_again(peer)

    def disconnected(self, peer: str) -> None:
        """A link went down."""
        self.note_disconnected(peer)
        self._probe_again(peer)

    def _probe_again(self, node: str) -> None:
        for peer, progress in self.progress.items():
            if node_of(peer) == node_of(node):
                if not progress.waiting:
                    progress.probe(progress.proven_index + 1)
                self.send_empty(peer, progress)

    def restored(self, applied_index: int) -> None:
        super().restored(applied_index)
        self.announce_synced()
        self.advance()

    def propose(self, payload: Sequence[Payload], done: Done) -> None:
        size_bytes = sum(map(len, payload))
        if self.health != OK or self.role != LEADER or self.successor:
            self.waiting.tell(done, NOT_LEADER)
        elif self.waiting.size_bytes and self.waiting.size_bytes + size_bytes > self.settings.unapplied_bytes_max:
            self.waiting.tell(done, OVERLOADED)
        else:
            index = self.journal.append(self.term, payload)
            self.waiting.add(index, size_bytes, done)
            self.advance()

    def next_deadline_ms(self) -> int:
        if self.health != OK:
            return NEVER_MS
        if self.role == LEADER:
            due = self.heartbeat_due_ms
        elif self.is_voter:
            due = 0 if self.is_alone else self.election_deadline_ms
        else:
            due = NEVER_MS
        if self.applied_index < self.may_be_applied():
            due = min(due, self.now_ms() + (0 if self._may_apply() else APPLY_RETRY_MS))
        return due


class Consensus:
    """One shard's place among its members.

    Callbacks: `apply(index, term, payload)` for each entry in order, exactly once per process, also for the empty one
    that begins a leadership; what it raises stops the shard. `may_apply` False: not now, nothing is lost;
    `may_append` False: a follower takes no more entries for now, they will be sent again. `send` may
    drop a message. `on_role(True)` when this node leads and has applied all that was stored before its leadership, so
    that its state is good to read and to propose from; `on_role(False)` when that ends. `on_behind(peer)`, on the
    leader: that peer needs entries at or below the journal's base; whoever sends it a snapshot says so with
    `snapshot_done`, and until then `on_behind` is not called for it again in this leadership. `now_ms` never goes back;
    `clock_ms` is the wall clock, told to leaders only.
    """

    def __init__(
        self,
        *,
        shard: int,
        node: str,
        members: Sequence[str] | Sequence[Place],
        journal: Journal,
        apply: Callable[[int, int, Payload], object],
        send: Callable[[str, Message], None],
        now_ms: Callable[[], int],
        random: random_module.Random,
        settings: ConsensusSettings,
        applied_index: int,
        on_role: Callable[[bool], None],
        may_apply: Callable[[], bool] = lambda: True,
        may_append: Callable[[], bool] = lambda: True,
        clock_ms: Callable[[], int] = lambda: 0,
        on_behind: Callable[[str], None] = lambda peer: None,
        on_configuration: Callable[[Configuration], None] = lambda configuration: None,
        configurations: Iterable[tuple[int, bytes]] = (),
    ) -> None:
        self.shard = shard
        self._shard = _Shard(
            node=node,
            journal=journal,
            apply=apply,
            may_apply=may_apply,
            may_append=may_append,
            send=send,
            now_ms=now_ms,
            clock_ms=clock_ms,
            chance=random,
            settings=settings,
            applied_index=applied_index,
            on_role=on_role,
            on_behind=on_behind,
            on_configuration=on_configuration,
        )
        places = tuple(Place(item, item, "", 0) if isinstance(item, str) else item for item in members)
        if len({place.node for place in places}) != len(places):
            raise ValueError("members are distinct")
        self._shard.begin_reading()
        self._shard.restore_configuration(founding(places), configurations)

    def tick(self) -> None:
        """Elections, heartbeats, counting, applying; cheap when nothing is due."""
        self._shard.tick()

    def received(self, peer: str, message: Message, to_member: str = "") -> None:
        """Take a message of member `peer` to a member id ("" if it did not say); what is not for this is dropped."""
        self._shard.received(peer, message, to_member)

    def connected(self, peer: str) -> None:
        """Messages to `peer` have a chance to arrive from now on; all that were sent before may be lost."""
        self._shard.connected(peer)

    def disconnected(self, peer: str) -> None:
        """Messages to `peer` would be lost."""
        self._shard.disconnected(peer)

    def synced(self) -> None:
        """Call after the log's `note_synced`: sends what waited for it, counts this node, applies."""
        self._shard.synced()

    def propose(self, payload: Sequence[Payload], done: Done) -> None:
        """Append an entry. `done` is called exactly once, at once where nothing was appended."""
        self._shard.propose(payload, done)

    def propose_configuration(self, change: Change, done: Done) -> None:
        """Change the members: append the configuration that `change` makes of the present one.

        `done` as with `propose`, APPLIED once a majority of the new configuration has it, or REFUSED with a Refusal.
        """
        self._shard.propose_configuration(change, done)

    def transfer(self, to_member: str, done: Callable[[Refusal | None], None]) -> None:
        """Hand leadership to a voter; `done(None)` once this node leads no more, else `done(why not)`.

        Meanwhile proposals are turned away (NOT_LEADER, nothing appended); after an election time-out it is given up.
        """
        self._shard.transfer(to_member, done)
        self._shard.advance()

    def read_index(self, done: Callable[[ReadKind], None]) -> None:
        """Call `done(READY)` once the applied state holds everything acknowledged before this call."""
        self._shard.read_index(done)
        self._shard.advance()

    def configuration_at(self, index: int) -> bytes:
        """Return the encoded configuration that counted at `index`, b"" for the founding one: for a log's base."""
        return self._shard.configurations.payload_at(index)

    def snapshot_done(self, peer: str, index: int) -> None:
        """On the leader: `peer` has installed a snapshot up to `index`; 0: it has not, and may be behind again later.

        Heard of in another leadership, or of a peer that waits for none, it changes nothing.
        """
        self._shard.snapshot_done(peer, index)

    def heard_leader(self, peer: str, term: int) -> bool:
        """Take a snapshot frame of the leader of `term` for a sign of life of it; False: refuse the frame.

        The term is adopted as with any message; it must be synced before anything is answered, as usual.
        """
        return self._shard.heard_leader(peer, term)

    def may_restore(self, index: int) -> bool:
        """Ask right before appending a snapshot's base, in the same turn: False where it is of no use or would harm."""
        return self._shard.may_restore(index)

    def restored(self, applied_index: int) -> None:
        """Go on from a snapshot: its base is appended and synced, the state switched; `applied_index` is the state's.

        From the append of the base until this call the shard takes no entries, applies nothing and seeks no votes.
        ValueError if it was not `may_restore` that said so.
        """
        self._shard.restored(applied_index)

    def rebase(self) -> None:
        """Call right after the log dropped a prefix, in the same turn: the shard then knows where its log begins."""
        self._shard.rebase()

    @property
    def next_deadline_ms(self) -> int:
        """When `tick` has something to do at the latest, by `now_ms`."""
        return self._shard.next_deadline_ms()

    @property
    def is_leader(self) -> bool:
        """Whether proposals are taken here. Another node may have been elected without this one knowing yet."""
        return self._shard.role == LEADER

    @property
    def is_ready(self) -> bool:
        """Whether this node leads and has applied an entry of its own term: its state lacks nothing older."""
        first = self._shard.first_own_index
        return self.is_leader and first is not None and self._shard.applied_index >= first

    @property
    def is_transferring(self) -> bool:
        """Whether leadership is being handed over; nothing is appended meanwhile."""
        return bool(self._shard.successor)

    @property
    def leader(self) -> str:
        """Member id of who leads as far as known, else ""."""
        return self._shard.leader

    @property
    def member(self) -> str:
        """This node's member id, "" as long as it has none."""
        return self._shard.node

    @property
    def configuration(self) -> Configuration:
        """Who the members are, by the newest entry that says so, whether or not it is applied."""
        return self._shard.configurations.newest

    @property
    def configuration_index(self) -> int:
        """Index of that entry; 0 for the founding configuration."""
        return self._shard.configurations.newest_index

    @property
    def is_removed(self) -> bool:
        """Whether the leader said that this node is a member no more."""
        return self._shard.is_removed

    @property
    def best_successor(self) -> str:
        """On the leader: the voter to hand over to, "" if none can be reached."""
        return self._shard.best_successor()

    def lag_entries(self, member: str) -> int | None:
        """On the leader: how many entries a member has not durably; None where that is not known."""
        progress = self._shard.progress.get(member)
        return None if progress is None else self._shard.journal.last_index - progress.synced_index

    def has_caught_up(self, member: str) -> bool:
        """On the leader: whether a learner may be promoted."""
        return self._shard.has_caught_up(member)

    @property
    def term(self) -> int:
        """The present term."""
        return self._shard.term

    @property
    def majority_index(self) -> int:
        """Up to here the log is known to be durable on a majority."""
        return self._shard.majority_index

    @property
    def applied_index(self) -> int:
        """Up to here it is applied."""
        return self._shard.applied_index

    @property
    def base_index(self) -> int:
        """Where the log begins: entries up to here are not in it any more."""
        return self._shard.journal.base_index

    @property
    def last_index(self) -> int:
        """Where the log ends."""
        return self._shard.journal.last_index

    @property
    def health(self) -> str:
        """ "ok", or why this shard does not serve on this node."""
        return self._shard.health

    def peer_copies(self) -> tuple[PeerCopy, ...]:
        """On the leader: what it knows of the others' copies, by name; elsewhere nothing."""
        now_ms = self._shard.now_ms()
        return tuple(
            PeerCopy(peer, progress.synced_index, now_ms - progress.heard_ms, progress.waiting)
            for peer, progress in sorted(self._shard.progress.items())
        )

    @property
    def callback_failures(self) -> int:
        """How many callers' `done` raised."""
        return self._shard.waiting.callback_failures

    def clocks_ms(self) -> list[int]:
        """On the leader: this node's wall clock and those of the followers heard from, estimated for now."""
        now_ms = self._shard.now_ms()
        ahead = [progress.clock_ahead_ms for progress in self._shard.progress.values()]
        return [self._shard.clock_ms(), *[now_ms + value for value in ahead if value is not None]]
