"""`tallymq node`, `tallymq shard` and `tallymq cluster health` against real nodes, of which one is stopped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tallymq.cli.health import CHECKS
from tests.cli.conftest import Outcome, Tallymq
from tests.support.nodes import Cluster
from tests.support.ports import free_port
from tests.support.waiting import wait_for

NAMES = ["node-1", "node-2", "node-3"]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.create(tmp_path_factory.mktemp("three"), node_count=3, settings={"free_bytes_min": 1}) as made:
        made.start()
        yield made


@pytest.fixture
def program(bare: Tallymq, three: Cluster) -> Tallymq:
    """Runs the program, told of one node only, for programs to read."""
    return lambda *words: bare("--server", three.nodes[0].client_address, "--timeout", "60s", "-o", "json", *words)


def healthy(program: Tallymq) -> Outcome:
    """The answer once it is yes: links and followers need a moment after a start."""
    outcomes: list[Outcome] = []

    def look() -> Outcome | None:
        outcomes.append(program("cluster", "health"))
        return outcomes[-1] if outcomes[-1].code == 0 else None

    try:
        return wait_for("a healthy cluster", look, 90)
    except TimeoutError:
        raise AssertionError(outcomes[-1].out + outcomes[-1].err) from None


def test_told_of_one_node_it_asks_all_of_them(program: Tallymq, three: Cluster) -> None:
    healthy(program)
    nodes = program("node", "list").data
    assert [node["node"] for node in nodes] == NAMES
    assert [node["client_address"] for node in nodes] == [node.client_address for node in three.nodes]
    assert all(node["answers"] and node["seen_by"] == sorted({*NAMES} - {node["node"]}) for node in nodes)
    assert sum(node["shards_led"] for node in nodes) == 4
    for node in nodes:
        (certificate,) = node["certificates"]
        assert certificate["shown_to"] == "peers"
        assert abs(node["clock_ahead_ms"]) <= node["clock_error_ms"] + 50
    shown = program("node", "show", "node-2").data
    assert shown.keys() == nodes[1].keys()
    assert (shown["node"], shown["refusal"], shown["connected_nodes"]) == ("node-2", None, ["node-1", "node-3"])


def test_shards_are_joined_from_what_all_nodes_say(program: Tallymq, three: Cluster) -> None:
    healthy(program)
    leaders = three.leaders()
    shards = program("shard", "list").data
    assert {shard["shard"]: shard["leader"] for shard in shards} == leaders
    assert all(shard["voters"] == NAMES and shard["learners"] == [] and shard["health"] == "ok" for shard in shards)
    shown = program("shard", "show", "2").data
    assert [copy["node"] for copy in shown["copies"]] == NAMES
    for copy in shown["copies"]:
        assert (copy["leads"], copy["takes_for_leader"]) == (copy["node"] == leaders[2], leaders[2])
        assert copy["answers"]
        assert copy["behind_entries"] <= 10
    text = program("shard", "show", "2", "-o", "table").out
    assert text.startswith("SHARD:            2\n")
    assert "NODE    ANSWERS  LEADS" in text


def test_what_does_not_exist_is_not_found(program: Tallymq) -> None:
    for words, name in ((("node", "show", "node-9"), "UNKNOWN_NODE"), (("shard", "show", "4"), "UNKNOWN_SHARD")):
        missing = program(*words)
        assert (missing.code, missing.error["name"]) == (3, name)


def test_three_healthy_nodes_let_one_sleep(program: Tallymq) -> None:
    data = healthy(program).data
    assert data["checks"] == dict.fromkeys(CHECKS, "ok")
    assert (data["may_sleep"], data["findings"], data["spare_nodes"]) == (True, [], 1)
    assert (data["nodes"], data["nodes_answering"], data["shards"], data["shards_led"]) == (3, 3, 4, 4)


def test_nobody_to_ask_is_an_exit_code_of_its_own(bare: Tallymq) -> None:
    for words in (("cluster", "health"), ("node", "list"), ("shard", "list")):
        nobody = bare("--server", f"127.0.0.1:{free_port()}", "-o", "json", *words)
        assert (nobody.code, nobody.error["name"], nobody.out) == (5, "UNAVAILABLE", "")


def test_a_stopped_node_is_seen_and_the_rest_may_lose_none(program: Tallymq, three: Cluster) -> None:
    healthy(program)
    victim = three.nodes[2]
    victim.stop()
    try:
        three.wait_leaders()
        ill = program("cluster", "health")
        assert (ill.code, ill.data["may_sleep"], ill.data["spare_nodes"]) == (1, False, 0)
        assert (ill.data["checks"]["nodes"], ill.data["checks"]["quorum"]) == ("problem", "problem")
        (silent,) = [finding for finding in ill.data["findings"] if finding["check"] == "nodes"]
        assert silent["subject"] == "node-3"
        assert silent["message"].startswith("node-3 does not answer: ")
        text = program("cluster", "health", "-o", "table")
        assert (text.code, text.out.splitlines()[0].split()) == (1, ["MAY", "I", "SLEEP:", "no"])
        assert f"problem: {silent['message']} {silent['action']}" in text.out.splitlines()
        listed = program("node", "list")
        assert [node["answers"] for node in listed.data] == [True, True, False]
        assert "node-3 does not answer: " in listed.err
        assert program("node", "show", "node-3").data["seen_by"] == []
        assert [copy["answers"] for copy in program("shard", "show", "0").data["copies"]] == [True, True, False]
    finally:
        victim.start()
        victim.wait_ready()
    assert healthy(program).data["spare_nodes"] == 1
