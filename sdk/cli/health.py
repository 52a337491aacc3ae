"""May one sleep? What is looked at in a survey of the cluster, and what is found: pure, so that it can be tested whole.

A *problem* costs sleep: something is lost for someone, or one more failure away from being so. A *notice* can wait.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tallymq.cli.survey import Answer, Survey
from tallymq.cli.values import duration_text, size_text, time_text

PROBLEM, NOTICE = "problem", "notice"
BEHIND_ENTRIES_MAX = 1_000
"""Entries a copy may lack: under load some are always on their way."""
IN_DOUBT_MS_MAX = 10 * 60_000
CLOCKS_APART_MS_MAX = 1_000
CERTIFICATE_MS_MIN = 14 * 86_400_000
ROOM_FACTOR = 2
"""The disk is nearly full below this many times the room below which writes are refused."""
CHECKS = ("nodes", "leaders", "copies", "quorum", "disks", "transactions", "dead_letters", "clocks", "certificates")


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be: what is wrong, and what to do."""

    check: str
    severity: str
    subject: str
    message: str
    action: str


@dataclass
class Health:
    """What was found. `spare_nodes`: how many more nodes may be lost before a shard (of `tightest_shards`) stops."""

    findings: list[Finding] = field(default_factory=list)
    spare_nodes: int = 0
    tightest_shards: list[int] = field(default_factory=list)
    in_doubt: int = 0
    oldest_in_doubt_ms: int = 0

    @property
    def may_sleep(self) -> bool:
        """Whether there is no problem."""
        return all(finding.severity != PROBLEM for finding in self.findings)


def examine(whole: Survey, dead_letters: Mapping[str, int] | None, now_ms: int) -> Health:
    """Look at everything. `dead_letters`: by group, None where they could not be counted; `now_ms`: Unix time."""
    health = Health()
    spare = {number: _spare(number, whole) for number in whole.shard_numbers}
    health.spare_nodes = max(0, min(spare.values(), default=0))
    health.tightest_shards = [number for number, left in spare.items() if left == min(spare.values())]
    health.findings.extend(_nodes(whole))
    health.findings.extend(_leaders(whole))
    health.findings.extend(_copies(whole))
    health.findings.extend(_quorum(whole, spare))
    health.findings.extend(_disks(whole))
    health.findings.extend(_transactions(whole, health))
    health.findings.extend(_dead_letters(dead_letters))
    health.findings.extend(_clocks(whole))
    health.findings.extend(_certificates(whole, now_ms))
    health.findings.sort(key=lambda finding: finding.severity != PROBLEM)
    return health


def _nodes(whole: Survey) -> Iterator[Finding]:
    for answer in whole.answers:
        if answer.silent:
            yield Finding(
                "nodes", PROBLEM, answer.node, f"{answer.node} does not answer: {answer.silent}.",
                "Start it, or see its log and the network to it.",
            )  # fmt: skip
    for stranger in whole.strangers:
        what = (
            f"{stranger.address} was asked and does not answer: {stranger.silent}."
            if stranger.silent
            else f"{stranger.address} is {stranger.node} of another cluster, {stranger.cluster!r}."
        )
        yield Finding("nodes", PROBLEM, stranger.address, what, "Correct --server, or the node's setting `cluster`.")
    speaking = {answer.node for answer in whole.speaking}
    for answer in whole.speaking:
        cut_off = sorted(speaking - set(answer.report.connected_nodes) - {answer.node})
        if cut_off:
            yield Finding(
                "nodes", PROBLEM, answer.node,
                f"{answer.node} has no connection to {', '.join(cut_off)}, though both answer.",
                "Look at the network and the certificates between them; both logs say why.",
            )  # fmt: skip
    if len({tuple(sorted(status.node for status in answer.nodes)) for answer in whole.speaking}) > 1:
        message = "The nodes do not agree on who belongs to the cluster."
        yield Finding("nodes", PROBLEM, whole.cluster, message, "Compare `members` in the settings of all nodes.")
    versions = sorted({answer.report.version for answer in whole.speaking})
    if len(versions) > 1:
        message = f"The nodes run different versions: {', '.join(versions)}."
        yield Finding("nodes", NOTICE, whole.cluster, message, "Finish the upgrade, a node at a time.")


def _leaders(whole: Survey) -> Iterator[Finding]:
    missing, differing = [], []
    for number in whole.shard_numbers:
        leader = whole.leader(number)
        if leader is None:
            missing.append(number)
        elif any(copy.status.leader != leader[0].node for _, copy in whole.copies(number)):
            differing.append(number)
    if missing:
        message = f"Nobody leads {_numbers(missing)}: nothing can be written there."
        action = "Bring back the nodes that do not answer; an election takes about two seconds, then ask again."
        yield Finding("leaders", PROBLEM, _numbers(missing), message, action)
    if differing:
        message = f"The nodes do not agree on who leads {_numbers(differing)}."
        action = "Ask again in a few seconds; if it stays so, look at the network between the nodes."
        yield Finding("leaders", PROBLEM, _numbers(differing), message, action)


def _copies(whole: Survey) -> Iterator[Finding]:
    sick: dict[tuple[str, str], list[int]] = defaultdict(list)
    late: dict[str, list[int]] = defaultdict(list)
    most: dict[str, int] = defaultdict(int)
    for number in whole.shard_numbers:
        for answer, copy in whole.copies(number):
            if copy.status.health != "ok":
                sick[answer.node, copy.status.health].append(number)
            if (entries := _behind(number, answer, whole)) > BEHIND_ENTRIES_MAX:
                late[answer.node].append(number)
                most[answer.node] = max(most[answer.node], entries)
    for (node, why), numbers in sick.items():
        message = f"{node} does not serve {_numbers(numbers)}: {why}"
        yield Finding("copies", PROBLEM, node, message, f"See the log of {node}; the other copies go on meanwhile.")
    for node, numbers in late.items():
        message = f"{node} is behind in {_numbers(numbers)}, by up to {most[node]:,} entries."
        action = "Wait while it catches up; if the number does not fall, look at its disk and its network."
        yield Finding("copies", PROBLEM, node, message, action)


def _behind(number: int, answer: Answer, whole: Survey) -> int:
    """Return how many entries a node's copy lacks, in its log or in its applied state."""
    copy = answer.shard(number)
    if copy is None:
        return 0
    unapplied = max(0, copy.status.majority_index - copy.status.applied_index)
    leader = whole.leader(number)
    lacking = [peer.behind_entries for peer in leader[1].peers if peer.node == answer.node] if leader else []
    return max([unapplied, *lacking])


def _spare(number: int, whole: Survey) -> int:
    """Return how many more voters a shard may lose; below 0 it has lost too many."""
    copies = whole.copies(number)
    leader = whole.leader(number)
    voters = set((leader[1] if leader else copies[0][1]).voters)
    well = [
        answer.node
        for answer, copy in copies
        if answer.node in voters and copy.status.health == "ok" and _behind(number, answer, whole) <= BEHIND_ENTRIES_MAX
    ]
    return len(well) - (len(voters) // 2 + 1)


def _quorum(whole: Survey, spare: Mapping[int, int]) -> Iterator[Finding]:
    lost = [number for number, left in spare.items() if left < 0]
    tight = [number for number, left in spare.items() if left == 0]
    if lost:
        message = f"Less than a majority of the voters of {_numbers(lost)} is well."
        action = "Bring nodes back, or let those that are behind catch up, before anything else."
        yield Finding("quorum", PROBLEM, _numbers(lost), message, action)
    if tight:
        voters = min(len(copy.voters) for number in tight for _, copy in whole.copies(number))
        message = f"If one more node is lost, {_numbers(tight)} cannot be written."
        by_design = voters < 3
        action = (
            "Three nodes could lose one." if by_design else "Bring back the nodes that do not answer or lag behind."
        )
        yield Finding("quorum", NOTICE if by_design else PROBLEM, _numbers(tight), message, action)


def _disks(whole: Survey) -> Iterator[Finding]:
    for answer in whole.speaking:
        report, node = answer.report, answer.node
        if report.refusal:
            message = f"{node} refuses writes: {report.refusal.rstrip('.')}."
            yield Finding("disks", PROBLEM, node, message, "Free room on its disk; it takes writes again by itself.")
        elif 0 < report.free_bytes < ROOM_FACTOR * report.free_bytes_min:
            message = (
                f"The disk of {node} is nearly full: {size_text(report.free_bytes)} free, "
                f"writes are refused below {size_text(report.free_bytes_min)}."
            )
            yield Finding("disks", PROBLEM, node, message, "Free room, or give it a larger disk.")


def _transactions(whole: Survey, health: Health) -> Iterator[Finding]:
    """Count what is in doubt by the leaders, or where there is none by the copy that got furthest."""
    for number in whole.shard_numbers:
        leader = whole.leader(number)
        copies = [copy for _, copy in whole.copies(number)]
        report = leader[1] if leader else max(copies, key=lambda copy: copy.status.applied_index)
        health.in_doubt += report.status.in_doubt
        if report.oldest_in_doubt_time_ms:
            age_ms = max(0, report.time_ms - report.oldest_in_doubt_time_ms)
            health.oldest_in_doubt_ms = max(health.oldest_in_doubt_ms, age_ms)
    if health.oldest_in_doubt_ms > IN_DOUBT_MS_MAX:
        age = duration_text(health.oldest_in_doubt_ms)
        message = f"{health.in_doubt:,} transactions are in doubt, the oldest for {age}."
        action = "Start a producer of its group, or decide by hand: `tallymq transaction list --in-doubt --older 10m`."
        yield Finding("transactions", PROBLEM, "transactions", message, action)


def _dead_letters(by_group: Mapping[str, int] | None) -> Iterator[Finding]:
    if by_group is None:
        message = "The dead letters could not be counted."
        yield Finding("dead_letters", NOTICE, "groups", message, "Ask again; see `tallymq group list`.")
        return
    for group, count in sorted(by_group.items()):
        if count:
            message = f"Group {group} gave up {count:,} messages."
            yield Finding("dead_letters", NOTICE, group, message, f"See `tallymq group dead-letters {group} TOPIC`.")


def _clocks(whole: Survey) -> Iterator[Finding]:
    speaking = sorted(whole.speaking, key=lambda answer: answer.clock_ahead_ms)
    if len(speaking) < 2:
        return
    first, last = speaking[0], speaking[-1]
    apart_ms = last.clock_ahead_ms - first.clock_ahead_ms - last.clock_error_ms - first.clock_error_ms
    if apart_ms > CLOCKS_APART_MS_MAX:
        message = f"The clock of {last.node} is at least {duration_text(int(apart_ms))} ahead of that of {first.node}."
        action = "See that time is synchronised (chrony, ntpd) on both machines."
        yield Finding("clocks", PROBLEM, f"{first.node}, {last.node}", message, action)


def _certificates(whole: Survey, now_ms: int) -> Iterator[Finding]:
    for answer in whole.speaking:
        for certificate in answer.report.certificates:
            if certificate.end_time_ms < now_ms + CERTIFICATE_MS_MIN:
                verb = "ended" if certificate.end_time_ms <= now_ms else "ends"
                message = (
                    f"The certificate that {answer.node} shows to {certificate.shown_to} {verb} "
                    f"at {time_text(certificate.end_time_ms)}."
                )
                yield Finding("certificates", PROBLEM, answer.node, message, "Replace it and restart the node.")


def _numbers(numbers: Sequence[int]) -> str:
    noun = "shard" if len(numbers) == 1 else "shards"
    return f"{noun} {', '.join(map(str, numbers))}"
