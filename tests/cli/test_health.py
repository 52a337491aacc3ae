"""What `tallymq cluster health` finds: each thing that costs sleep, alone, in a cluster that is well otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tallymq.cli.health import CHECKS, Health, examine
from tallymq.cli.survey import Answer, Survey
from tallymq.proto import admin_pb2 as admin

NOW_MS = 1_795_365_296_123
DAY_MS = 86_400_000
NAMES = ("n1", "n2", "n3")


def shard(number: int, node: str) -> admin.ShardReport:
    status = admin.ShardStatus(
        shard=number, leader="n1", term=4, majority_index=5_000, applied_index=5_000, last_index=5_000, health="ok"
    )
    made = admin.ShardReport(status=status, leads=node == "n1", voters=NAMES, time_ms=NOW_MS)
    if node == "n1":
        made.peers.add(node="n2", connected=True, synced_index=5_000)
        made.peers.add(node="n3", connected=True, synced_index=5_000)
    return made


def answer(node: str) -> Answer:
    report = admin.NodeReport(
        version="1.0",
        time_ms=NOW_MS,
        free_bytes=10 << 30,
        free_bytes_min=1 << 30,
        connected_nodes=[name for name in NAMES if name != node],
        certificates=[admin.CertificateStatus(shown_to="peers", end_time_ms=NOW_MS + 15 * DAY_MS)],
    )
    nodes = [admin.NodeStatus(node=name, client_address=f"{name}:7070") for name in NAMES]
    return Answer(node, f"{node}:7070", "", "tally", report, nodes, [shard(0, node), shard(1, node)], 10.0, 2.0)


def well() -> Survey:
    answers = [answer(name) for name in NAMES]
    return Survey("tally", answers, [], {status.node: status for status in answers[0].nodes})


def silence(whole: Survey, name: str) -> None:
    place = NAMES.index(name)
    whole.answers[place] = Answer(name, f"{name}:7070", silent="connection refused")


def found(health: Health) -> list[tuple[str, str, str]]:
    return [(finding.check, finding.severity, finding.subject) for finding in health.findings]


def test_a_cluster_that_is_well_lets_one_sleep() -> None:
    health = examine(well(), {"bank": 0}, NOW_MS)
    assert (health.may_sleep, health.findings, health.spare_nodes, health.tightest_shards) == (True, [], 1, [0, 1])


def no_leader(whole: Survey) -> None:
    for each in whole.answers:
        each.shards[1].leads = False
        each.shards[1].status.leader = ""


def other_leader(whole: Survey) -> None:
    whole.answers[1].shards[1].status.leader = "n3"


def sick(whole: Survey) -> None:
    whole.answers[2].shards[0].status.health = "the log is damaged"


def behind(whole: Survey) -> None:
    for each in whole.answers[0].shards:
        each.peers[1].behind_entries = 1_001


def unapplied(whole: Survey) -> None:
    whole.answers[0].shards[1].status.applied_index = 3_000


def cut_off(whole: Survey) -> None:
    del whole.answers[1].report.connected_nodes[1]


def refuses(whole: Survey) -> None:
    whole.answers[1].report.refusal = "the disk of /data is nearly full"


def nearly_full(whole: Survey) -> None:
    whole.answers[1].report.free_bytes = (2 << 30) - 1


def old_doubt(whole: Survey) -> None:
    whole.answers[0].shards[1].oldest_in_doubt_time_ms = NOW_MS - 600_001
    whole.answers[0].shards[1].status.in_doubt = 7


def clocks(whole: Survey) -> None:
    whole.answers[2].clock_ahead_ms = 10 + 1_000 + 2 + 2 + 1


def ending(whole: Survey) -> None:
    whole.answers[0].report.certificates[0].end_time_ms = NOW_MS + 14 * DAY_MS - 1


def stranger(whole: Survey) -> None:
    whole.strangers.append(Answer("n1", "elsewhere:7070", cluster="other"))


def disagreeing(whole: Survey) -> None:
    whole.answers[1].nodes = whole.answers[1].nodes[:2]


PROBLEMS = [
    (no_leader, "leaders", "shard 1"),
    (other_leader, "leaders", "shard 1"),
    (cut_off, "nodes", "n2"),
    (refuses, "disks", "n2"),
    (nearly_full, "disks", "n2"),
    (old_doubt, "transactions", "transactions"),
    (clocks, "clocks", "n1, n3"),
    (ending, "certificates", "n1"),
    (stranger, "nodes", "elsewhere:7070"),
    (disagreeing, "nodes", "tally"),
]


@pytest.mark.parametrize(("spoil", "check", "subject"), PROBLEMS, ids=lambda value: getattr(value, "__name__", None))
def test_what_costs_sleep_is_found_alone(spoil: Callable[[Survey], None], check: str, subject: str) -> None:
    whole = well()
    spoil(whole)
    health = examine(whole, {}, NOW_MS)
    assert found(health) == [(check, "problem", subject)]
    assert not health.may_sleep
    (finding,) = health.findings
    assert check in CHECKS
    assert finding.message.endswith(".")
    assert finding.action.endswith(".")
    assert "\n" not in finding.message + finding.action


@pytest.mark.parametrize(
    ("spoil", "node", "shards"),
    [(sick, "n3", "shard 0"), (behind, "n3", "shards 0, 1"), (unapplied, "n1", "shard 1")],
)
def test_a_copy_that_is_not_well_counts_for_no_majority(
    spoil: Callable[[Survey], None], node: str, shards: str
) -> None:
    whole = well()
    spoil(whole)
    health = examine(whole, {}, NOW_MS)
    assert found(health) == [("copies", "problem", node), ("quorum", "problem", shards)]
    assert health.spare_nodes == 0
    assert shards in health.findings[0].message


def test_within_the_bounds_nothing_is_found() -> None:
    whole = well()
    whole.answers[0].shards[0].peers[1].behind_entries = 1_000
    whole.answers[0].shards[1].oldest_in_doubt_time_ms = NOW_MS - 600_000
    whole.answers[1].report.free_bytes = 2 << 30
    whole.answers[2].clock_ahead_ms = 10 + 1_000 + 2 + 2
    whole.answers[0].report.certificates[0].end_time_ms = NOW_MS + 14 * DAY_MS
    assert examine(whole, {}, NOW_MS).findings == []


def test_two_silent_nodes_of_three_leave_no_majority() -> None:
    whole = well()
    silence(whole, "n2")
    assert found(examine(whole, {}, NOW_MS)) == [("nodes", "problem", "n2"), ("quorum", "problem", "shards 0, 1")]
    silence(whole, "n3")
    health = examine(whole, {}, NOW_MS)
    assert found(health)[-1] == ("quorum", "problem", "shards 0, 1")
    assert "Less than a majority" in health.findings[-1].message
    assert health.spare_nodes == 0


def test_dead_letters_and_versions_can_wait_until_morning() -> None:
    whole = well()
    whole.answers[1].report.version = "1.1"
    health = examine(whole, {"bank": 2, "audit": 0}, NOW_MS)
    assert found(health) == [("nodes", "notice", "tally"), ("dead_letters", "notice", "bank")]
    assert health.may_sleep
    assert found(examine(well(), None, NOW_MS)) == [("dead_letters", "notice", "groups")]


def test_a_node_alone_is_a_notice_not_a_problem() -> None:
    alone = answer("n1")
    alone.nodes = alone.nodes[:1]
    del alone.report.connected_nodes[:]
    for each in alone.shards:
        del each.peers[:]
        del each.voters[1:]
    health = examine(Survey("tally", [alone], [], {"n1": alone.nodes[0]}), {}, NOW_MS)
    assert found(health) == [("quorum", "notice", "shards 0, 1")]
    assert health.may_sleep
