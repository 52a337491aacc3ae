"""Who counts. The configuration is what the newest configuration entry in the log says, from the moment it is appended.

Rule 1: a truncation brings back the one before; a restart finds the newest in the log, else the base's, else the
founding one.
Rule 2: learners are sent everything and counted nowhere. Who is no voter seeks no votes; whoever is asked answers, for
it may have been made a voter by an entry that it has not got yet.
Rule 3: a message from outside the configuration is heard only if its sender may have been added by an entry that is not
here yet. One to an earlier incarnation of this node is not heard: it was promised to by a disk that is gone.
Rule 4: who was removed, by an entry that a majority has, hears so from the leader, and campaigns no more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from tallymq.raftlog.consensus_door import LEADER
from tallymq.raftlog.consensus_member import OK, Member
from tallymq.raftlog.consensus_progress import Progress
from tallymq.raftlog.errors import BodyDamaged
from tallymq.raftlog.membership import (
    Configuration,
    ConfigurationDamaged,
    decode_configuration,
    incarnation_of,
    is_configuration,
    node_of,
)
from tallymq.raftlog.messages import Farewell, Payload


@dataclass(frozen=True, slots=True)
class Noted:
    """A configuration, the index of its entry (of the base, for what the base says), and its bytes ("" if founding)."""

    index: int
    configuration: Configuration
    payload: bytes


class Configurations:
    """The configurations of one log, oldest first: the base's, then those of entries. Indexes are ascending."""

    def __init__(self, founding: Configuration) -> None:
        self._founding = founding
        self._noted = [Noted(0, founding, b"")]

    @property
    def newest(self) -> Configuration:
        """The one that counts."""
        return self._noted[-1].configuration

    @property
    def newest_index(self) -> int:
        """Index of the entry it came with; 0 if the founding one counts."""
        return self._noted[-1].index

    def note(self, index: int, payload: Payload) -> None:
        """Add the configuration of an entry. Raises ConfigurationDamaged."""
        self._noted.append(Noted(index, decode_configuration(payload), bytes(payload)))

    def truncate(self, from_index: int) -> bool:
        """Forget those of withdrawn entries; whether another one counts now."""
        before = len(self._noted)
        self._noted = [noted for noted in self._noted if noted.index < from_index]
        return len(self._noted) != before

    def rebase(self, index: int, payload: bytes, *, is_anew: bool = False) -> None:
        """Begin with what the base says. Raises ConfigurationDamaged.

        b"" means the founding one where the log begins anew, else what is known of it here.
        """
        if payload:
            first = Noted(index, decode_configuration(payload), payload)
        else:
            first = Noted(0, self._founding, b"") if is_anew else self._at(index)
        self._noted = [first, *[noted for noted in self._noted if noted.index > index]]

    def _at(self, index: int) -> Noted:
        # The oldest one stands for all that was before it.
        return next((noted for noted in reversed(self._noted) if noted.index <= index), self._noted[0])

    def payload_at(self, index: int) -> bytes:
        """Return the bytes of the one that counted at `index`, b"" for the founding one."""
        return self._at(index).payload

    def before(self, index: int) -> Configuration:
        """Return the one that counted just before `index`."""
        return self._at(index - 1).configuration

    def newest_of(self, node: str) -> str:
        """Return the latest member id that lived on a node, "" if none ever did."""
        found = (noted.configuration.member_on(node) for noted in reversed(self._noted))
        return next((member for member in found if member), "")


class Configured(Member):
    """Knows who counts, and keeps it in step with the log."""

    configurations: Configurations

    def restore_configuration(self, founding: Configuration, applied: Iterable[tuple[int, bytes]]) -> None:
        """Find what counts: `applied` are those of applied entries; what lies behind them is looked for in the log."""
        self.configurations = Configurations(founding)
        self.is_removed = False
        try:
            for index, payload in applied:
                self.configurations.note(index, payload)
            self.configurations.rebase(self.journal.base_index, self.journal.base_configuration)
            for index in range(self.applied_index + 1, self.journal.last_index + 1):
                if self.journal.begins_as_configuration(index):
                    self.configurations.note(index, self.journal.read(index))
        except (BodyDamaged, ConfigurationDamaged) as error:
            self.stop(f"who the members are cannot be told: {error}")
        self.rename(self.configurations.newest_of(self.name))
        self._take_effect()

    # What counts

    def has_quorum(self, members: Collection[str]) -> bool:
        """Return whether these are more than half of the voters."""
        return 2 * len(self.voters & set(members)) > len(self.voters)

    @property
    def is_voter(self) -> bool:
        """Whether this node counts, and may lead."""
        return self.node in self.voters and not self.is_removed

    @property
    def is_alone(self) -> bool:
        """Whether this node is the only voter."""
        return self.voters == {self.node}

    def hears(self, peer: str, to_member: str) -> bool:
        """Return whether a message from `peer` to that member id ("" if it says none) is for this node."""
        if not self._may_know(peer):
            return False
        if to_member in ("", self.node):
            return bool(self.node)
        is_later = incarnation_of(to_member) > max(incarnation_of(self.node), 0)
        if node_of(to_member) != self.name or not is_later:
            return False
        # Added anew, by an entry that may not be here yet. What was said under the former id stays with that id.
        self.rename(to_member)
        self.is_removed = False
        return True

    def _may_know(self, peer: str) -> bool:
        # A leader that an entry here leaves out leads until that entry is applied.
        if peer in self.peers or (peer and peer == self.leader):
            return True
        if node_of(peer) == self.name or incarnation_of(peer) < 0:
            return False
        return not self.voters or incarnation_of(peer) > self.configurations.newest_index

    # Keeping in step with the log

    def append(self, term: int, payload: Payload) -> int:
        """Append an entry; a configuration takes effect. Raises ConfigurationDamaged, then nothing was appended."""
        if not is_configuration(payload):
            return self.journal.append(term, (payload,))
        self.configurations.note(self.journal.last_index + 1, payload)
        index = self.journal.append(term, (payload,))
        self._take_effect()
        return index

    def truncate(self, from_index: int) -> None:
        """Drop entries; a configuration among them never was."""
        super().truncate(from_index)
        if self.configurations.truncate(from_index):
            self._take_effect()

    def rebase(self) -> None:
        """Take over where the log begins now, and who counted there."""
        generation = self.journal.generation
        self.journal.rebase()
        is_anew = self.journal.generation != generation
        # What the log lost behind its new base is gone here too.
        self.configurations.truncate(self.journal.last_index + 1)
        try:
            base = self.journal.base_configuration
            self.configurations.rebase(self.journal.base_index, base, is_anew=is_anew)
        except ConfigurationDamaged as error:
            self.stop(f"who the members are cannot be told: {error}")
        self._take_effect()

    def _take_effect(self) -> None:
        newest = self.configurations.newest
        self.voters = newest.voter_names
        own = self.configurations.newest_of(self.name)
        if own and own != self.node and incarnation_of(own) >= incarnation_of(self.node):
            self.rename(own)
        self.set_peers(newest.names - {self.node})
        if self.role == LEADER:
            now_ms = self.now_ms()
            known = self.progress
            self.progress = {
                peer: known.get(peer) or Progress(self.journal.last_index + 1, now_ms) for peer in self.peers
            }
            self.heartbeat_due_ms = min(self.heartbeat_due_ms, now_ms)
        self._on_configuration(newest)

    def tell_removed(self, index: int) -> None:
        """On the leader, once the configuration at `index` is applied: tell those it left out that they are out."""
        now = self.configurations.newest.names
        for place in self.configurations.before(index).places:
            if place.member not in now and place.member != self.node:
                self.outbox.post(place.member, Farewell(self.term, index))

    def say_farewell(self, peer: str) -> bool:
        """On the leader: tell someone from outside that it is out; False if it may be in, or cannot be told yet."""
        is_former = 0 <= incarnation_of(peer) <= self.configurations.newest_index
        if self.health != OK or self.role != LEADER or peer in self.peers or peer == self.node or not is_former:
            return False
        if not 0 < self.configurations.newest_index <= self.applied_index:
            return False
        self.outbox.post(peer, Farewell(self.term, self.configurations.newest_index))
        return True

    def take_farewell(self, message: Farewell) -> None:
        """Be a member no more."""
        if message.term == self.term and message.index >= self.configurations.newest_index:
            self.is_removed = True
            self.follow("")
