"""`tallymq group` and `tallymq cluster`: who reads what, and who leads what."""

from tallymq.proto import admin_pb2 as admin
from tests.cli import replies
from tests.cli.canned import Canned, Refuse
from tests.cli.conftest import Tallymq

GROUP_JSON = {
    "name": "accounting",
    "attempts_max": 5,
    "lease_ms": 90_000,
    "backoff_ms_min": 1_000,
    "backoff_ms_max": 300_000,
}


def test_group_list_prints_settings_with_their_defaults(tallymq: Tallymq, server: Canned) -> None:
    server.will("ListGroups", admin.ListGroupsReply(groups=[replies.group()]))
    assert tallymq("group", "list", "-o", "json").data == [GROUP_JSON]
    assert tallymq("group", "list").out == (
        "NAME        ATTEMPTS  LEASE  BACK-OFF FROM  BACK-OFF TO\n"
        "accounting         5  1m30s             1s           5m\n"
    )


def test_group_show_tells_how_far_it_is_behind(tallymq: Tallymq, server: Canned) -> None:
    server.will("GetGroup", admin.GetGroupReply(group=replies.group(with_queues=True)))
    shown = tallymq("group", "show", "accounting", "-o", "json")
    place = {"topic": "transfers", "queue": 0, "floor_offset": 3, "next_offset": 8, "end_offset": 10, "lag": 7}
    counts = {"leased": 4, "waiting": 1, "dead_letters": 6}
    assert shown.data == {**GROUP_JSON, "consumers": 2, "queues": [{**place, **counts}]}
    assert tallymq("group", "show", "accounting").out.endswith(
        "transfers      0           3     8   10    7       4        1             6\n"
    )


def test_group_show_of_an_unknown_group_is_not_found(tallymq: Tallymq, server: Canned) -> None:
    server.will("GetGroup", Refuse("UNKNOWN_GROUP"))
    assert tallymq("group", "show", "nobody").code == 3


def test_dead_letters_tell_why(tallymq: Tallymq, server: Canned) -> None:
    letter = admin.DeadLetter(
        topic="transfers", queue=1, offset=9, attempts=16, reason="ValueError: x", time_ms=replies.TIME_MS
    )
    server.will("ListDeadLetters", admin.ListDeadLettersReply(dead_letters=[letter]))
    listed = tallymq("group", "dead-letters", "accounting", "transfers", "--limit", "5", "-o", "json")
    assert listed.data == [
        {"topic": "transfers", "queue": 1, "offset": 9, "attempts": 16, "reason": "ValueError: x", "time": replies.TIME}
    ]
    assert server.asked["ListDeadLetters"] == [
        admin.ListDeadLettersRequest(group="accounting", topic="transfers", limit=5)
    ]


def test_cluster_status_shows_nodes_and_shards(tallymq: Tallymq, server: Canned) -> None:
    server.will("GetClusterStatus", replies.status())
    status = tallymq("cluster", "status")
    assert status.code == 0
    assert status.out == (
        "CLUSTER:     tally\n"
        "ANSWERED BY: n1\n"
        "VERSION:     0.1.0\n"
        "\n"
        "NODE  CLIENTS         PEERS           CONNECTED\n"
        "n1    127.0.0.1:7070  127.0.0.1:7071  yes\n"
        "n2    127.0.0.1:8070  -               no\n"
        "\n"
        "SHARD  LEADER  TERM  MAJORITY  APPLIED  LAST  IN DOUBT  HEALTH\n"
        "    0  n1         4         0        0     0         5  ok\n"
        "    1  -          3         9        8    10         0  log damaged\n"
    )


def test_cluster_status_is_one_object_for_programs(tallymq: Tallymq, server: Canned) -> None:
    server.will("GetClusterStatus", replies.status())
    data = tallymq("cluster", "status", "-o", "json").data
    assert list(data) == ["cluster", "node", "version", "nodes", "shards"]
    assert data["nodes"][1] == {"node": "n2", "client_address": "127.0.0.1:8070", "peer_address": None,
                                "connected": False}  # fmt: skip
    assert data["shards"][1] == {
        "shard": 1, "leader": None, "term": 3, "majority_index": 9, "applied_index": 8, "last_index": 10,
        "in_doubt": 0, "health": "log damaged",
    }  # fmt: skip
