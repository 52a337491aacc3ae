"""A history that no order of instants explains is found, for each model; and one that has such an order is not."""

import subprocess
from pathlib import Path

import pytest

from tests.linearizability.models import build_models, go
from tests.workloads.history import (
    Acknowledge,
    Decide,
    Decision,
    Deliver,
    History,
    Log,
    Message,
    Outcome,
    Prepare,
    Publish,
    Record,
    Topic,
    TopicCall,
    write,
)

pytestmark = pytest.mark.needs_go

A, B = Message("a", "x", "t", 0), Message("b", "x", "t", 0)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_models(tmp_path_factory.mktemp("models"))


def test_the_models_are_clean_and_their_own_tests_pass() -> None:
    vetted, tested = go("vet", "./..."), go("test", "-count=1", "./...")
    assert vetted.returncode == 0, vetted.stderr
    assert tested.returncode == 0, tested.stdout + tested.stderr


def history() -> list[History]:
    """Two publishes and a transaction, delivered and done; a topic."""
    half = Message("c", "x", "t", 0)
    return [
        Publish("p", 1, 2, Outcome.OK, (A,), (0,)),
        Publish("p", 3, 4, Outcome.OK, (B,), (1,)),
        Prepare("p", 5, 6, Outcome.OK, "T", "p", (half,)),
        Decide("p", 7, 8, Outcome.OK, "T", Decision.COMMITTED),
        Deliver("c", 9, 10, "g", "t", 0, (Record(0, "a", "x", 1), Record(1, "b", "x", 1), Record(2, "c", "x", 1))),
        Acknowledge("c", 11, 12, Outcome.OK, "g", "t", 0, (0, 1, 2)),
        Topic("d", 13, 14, Outcome.OK, TopicCall.CREATE, "n", 1),
        Topic("d", 15, 16, Outcome.OK, TopicCall.GET, "n", 1),
        Log("h", 90, 91, "t", 0, 0, 3, (Record(0, "a", "x"), Record(1, "b", "x"), Record(2, "c", "x"))),
    ]


def judge(program: Path, folder: Path, events: list[History]) -> tuple[int, str]:
    path = folder / "history.jsonl"
    write(path, events)
    ran = subprocess.run([program, path], capture_output=True, text=True, timeout=120, check=False)
    return ran.returncode, ran.stdout


def test_a_history_that_an_order_explains_passes(program: Path, tmp_path: Path) -> None:
    code, said = judge(program, tmp_path, history())
    assert code == 0, said
    assert said.count(": linearizable") == 4


BAD: dict[str, History] = {
    "publish": Deliver("e", 1, 2, "g2", "t", 0, (Record(2, "c", "x", 1),)),
    "decide": Decide("q", 20, 21, Outcome.OK, "T", Decision.ROLLED_BACK),
    "offsets": Deliver("e", 20, 21, "g", "t", 0, (Record(1, "b", "x", 2),)),
    "metadata": Topic("d", 20, 21, Outcome.REFUSED, TopicCall.GET, "n", absent=True),
}


@pytest.mark.parametrize("model", BAD)
def test_one_event_that_no_order_explains_is_found(program: Path, tmp_path: Path, model: str) -> None:
    code, said = judge(program, tmp_path, [*history(), BAD[model]])
    assert code == 1
    assert f"{model}: " in next(line for line in said.splitlines() if "NOT linearizable" in line)
