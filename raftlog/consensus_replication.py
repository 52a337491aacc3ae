"""Entries on their way from the leader to the followers.

Rule 1: what a follower has and matches is kept: only an entry of another term at the same index is a conflict, and what
a majority is known to have is never truncated.
Rule 2: a follower's majority index never goes beyond what the message itself proved.
Rule 3: an answer counts only in the term it was given in.
Rule 4: an answer says at once what is proven, and of that what is synced, so a slow disk is not taken for a dead node.
Rule 5: a message holds whole entries, read one by one, up to a number of bytes.
Rule 6: what lies at or below the base of a log is on a majority: a follower takes it for proven; a leader cannot send
it, and has a snapshot sent instead once the follower was found not to have the base itself.
Rule 7: a follower that cannot apply what it has takes no more: what it leaves out is not proven and will be sent again.
"""

from __future__ import annotations

from tallymq.raftlog.consensus_configuration import Configured
from tallymq.raftlog.consensus_door import LEADER
from tallymq.raftlog.consensus_member import NEVER_MS, OK
from tallymq.raftlog.consensus_progress import Progress
from tallymq.raftlog.errors import BodyDamaged
from tallymq.raftlog.membership import ConfigurationDamaged
from tallymq.raftlog.messages import AppendEntries, AppendReply, LogEntry

ENTRIES_MAX = 1024
"""In one message; the codec refuses more than four times as many."""


class Replicating(Configured):
    """Sends entries, takes them, and keeps account of the answers."""

    # Leader

    def replicate(self) -> None:
        """Send what each follower's window has room for."""
        for peer, progress in list(self.progress.items()):
            while progress.next_index <= self.journal.last_index and progress.may_send(
                self.settings.in_flight_bytes_max
            ):
                if not self.is_connected(peer):
                    break
                if progress.next_index <= self.journal.base_index:
                    self._probe_from(peer, progress, progress.next_index)
                    break
                try:
                    self._send_entries(peer, progress)
                except BodyDamaged as error:
                    # Another node may have it whole, and can lead.
                    self.stop(str(error))
                    return

    def _send_entries(self, peer: str, progress: Progress) -> None:
        entries: list[LogEntry] = []
        size_bytes, index = 0, progress.next_index
        while index <= self.journal.last_index and len(entries) < ENTRIES_MAX:
            payload = self.journal.read(index)
            if entries and size_bytes + len(payload) > self.settings.append_bytes_max:
                break
            entries.append(LogEntry(self.journal.term_known(index), payload))
            size_bytes += len(payload)
            index += 1
        self._append_to(peer, progress, progress.next_index - 1, tuple(entries))
        progress.sent(index - 1, size_bytes, self.now_ms())

    def heartbeat(self) -> None:
        """Send an empty message to every follower; it probes where the logs agree as long as that is not known."""
        now_ms = self.now_ms()
        self.heartbeat_due_ms = now_ms + self.settings.heartbeat_ms if self.peers else NEVER_MS
        for peer, progress in self.progress.items():
            if progress.is_stuck(now_ms, self.settings.election_ms_min):
                progress.probe(progress.proven_index + 1)
            self.send_empty(peer, progress)
            if progress.takes_snapshot(now_ms):
                self._on_behind(peer)

    def send_empty(self, peer: str, progress: Progress) -> None:
        """Send one heartbeat or probe."""
        if self.is_connected(peer):
            self._append_to(peer, progress, progress.certain_index(self.journal.base_index), ())

    def _probe_from(self, peer: str, progress: Progress, index: int) -> None:
        progress.probe(index)
        self.send_empty(peer, progress)

    def spread_majority(self) -> None:
        """Tell followers that wait for nothing else how far they may apply."""
        for peer, progress in self.progress.items():
            known = min(self.majority_index, progress.proven_index)
            is_certain = not progress.probing and progress.proven_index >= self.journal.base_index
            if is_certain and progress.told_index < known:
                self.send_empty(peer, progress)

    def _append_to(self, peer: str, progress: Progress, previous: int, entries: tuple[LogEntry, ...]) -> None:
        # All logs begin behind the same entry 0, wherever this one's base is now.
        term = self.journal.term_known(previous) if previous else 0
        message = AppendEntries(self.term, progress.next_sequence(), previous, term, self.majority_index, entries)
        progress.told_index = max(progress.told_index, min(self.majority_index, previous + len(entries)))
        self.outbox.post(peer, message)

    def take_append_reply(self, peer: str, reply: AppendReply) -> None:
        """Account for an answer; one of another term is no answer to this leadership."""
        if self.role != LEADER or reply.term != self.term:
            return
        if reply.proven_index > self.journal.last_index:
            self.stop(f"{peer} says it has entry {reply.proven_index} of a log that ends at {self.journal.last_index}")
            return
        progress = self.progress.get(peer)
        if progress is None:
            return
        progress.heard_ms = now_ms = self.now_ms()
        if reply.clock_ms:
            progress.clock_ahead_ms = reply.clock_ms - now_ms
        if progress.waiting:
            self._answered_waiting(peer, progress, reply)
        elif not reply.reset_index:
            progress.answered(reply.sequence, reply.proven_index, reply.synced_index, now_ms)
        else:
            self._refused(peer, progress, reply)

    def _answered_waiting(self, peer: str, progress: Progress, reply: AppendReply) -> None:
        """Go on with entries if the follower has the base, whoever gave it to it."""
        progress.synced_index = max(progress.synced_index, reply.synced_index)
        if reply.proven_index >= self.journal.base_index:
            self._probe_from(peer, progress, reply.proven_index + 1)

    def _refused(self, peer: str, progress: Progress, reply: AppendReply) -> None:
        refused_index = progress.next_index - 1
        if not progress.refused(reply.sequence, min(reply.reset_index, self.journal.last_index + 1)):
            return
        if progress.next_index <= self.journal.base_index and refused_index <= self.journal.base_index:
            progress.wait_for_snapshot(self.now_ms())
        self.send_empty(peer, progress)
        if progress.takes_snapshot(self.now_ms()):
            self._on_behind(peer)

    def snapshot_done(self, peer: str, index: int) -> None:
        """Send what follows the snapshot that `peer` has installed; `index` 0: it failed, another will be asked for."""
        progress = self.progress.get(peer)
        if self.role != LEADER or progress is None or not progress.waiting:
            return
        if index == 0:
            progress.snapshot_failed(self.now_ms() + self.settings.heartbeat_ms)
        else:
            self._probe_from(peer, progress, min(index, self.journal.last_index) + 1)

    # Follower

    def take_append_entries(self, peer: str, message: AppendEntries) -> None:
        """Follow whoever leads this term, and append what is new."""
        if message.term < self.term:
            self._answer(peer, message.sequence)
            return
        if not self.accept_leader(peer, message.term):
            return
        if self.journal.is_switching:
            self._answer(peer, message.sequence)
            return
        reset_index = self._reset_index(peer, message)
        if self.health != OK:
            return
        if not reset_index:
            matched = self._append_new(peer, message)
            self.proven_index = max(self.proven_index, matched)
            self.majority_index = max(self.majority_index, min(message.majority_index, matched))
        self._answer(peer, message.sequence, reset_index)

    def accept_leader(self, peer: str, term: int) -> bool:
        """Follow the leader of a term that is not older than this node's; False if that cannot be true."""
        if term > self.term:
            self.adopt(term)
        if self.role == LEADER or self.leader not in ("", peer):
            self.stop(f"two leaders in term {term}: {self.leader} and {peer}")
            return False
        if self.leader != peer:
            self.follow(peer)
        self.trial_votes.clear()
        self.heard_leader_ms = self.now_ms()
        self.restart_election_timer()
        return True

    def _reset_index(self, peer: str, message: AppendEntries) -> int:
        """Return 0 if the message fits, else from where it would."""
        if message.previous_index < self.journal.base_index:
            return 0
        term = self.journal.term_at(message.previous_index)
        if term == message.previous_term:
            return 0
        if term is None:
            return self.journal.last_index + 1
        if message.previous_index <= self.majority_index:
            self._contradicted(peer, message.previous_index)
            return 0
        # The whole run of the conflicting term at once, down to what cannot be in conflict.
        return self.journal.first_of_term(message.previous_index, self.majority_index + 1)

    def _append_new(self, peer: str, message: AppendEntries) -> int:
        """Append what is not there yet; return the index up to which the log is now the leader's."""
        index = message.previous_index
        for entry in message.entries:
            term = self.journal.term_at(index + 1)
            # Of what lies below the base nothing is known any more but that a majority has it.
            if term != entry.term and index + 1 >= self.journal.base_index:
                if term is not None:
                    if index + 1 <= self.majority_index:
                        self._contradicted(peer, index + 1)
                        return index
                    self.truncate(index + 1)
                if not self._may_append():
                    return index
                try:
                    self.append(entry.term, entry.payload)
                except ConfigurationDamaged as error:
                    self.stop(f"entry {index + 1} of {peer} does not say who the members are: {error}")
                    return index
            index += 1
        return max(index, self.journal.base_index)

    def _contradicted(self, peer: str, index: int) -> None:
        self.stop(f"{peer} leads term {self.term} with another entry {index} than the one a majority has")

    def _answer(self, peer: str, sequence: int, reset_index: int = 0) -> None:
        synced = min(self.proven_index, self.journal.synced_index())
        self.announced_index = max(self.announced_index, synced)
        reply = AppendReply(self.term, sequence, self.proven_index, synced, reset_index, self.clock_ms())
        self.outbox.post(peer, reply)

    def announce_synced(self) -> None:
        """Tell the leader, unasked, what has become durable."""
        if self.leader in ("", self.node):
            return
        if min(self.proven_index, self.journal.synced_index()) > self.announced_index:
            self._answer(self.leader, 0)
