"""10,000 random histories against the slow obvious model. `SEED=n` replays one."""

import gc
import os
from collections.abc import Iterator

import pytest

from tests.txn.history import STEPS_MIN, History

HISTORIES = 10_000
BLOCK = 500
SEED = os.environ.get("SEED", "")
BLOCKS = [range(int(SEED), int(SEED) + 1)] if SEED else [range(n, n + BLOCK) for n in range(0, HISTORIES, BLOCK)]


def check_history(seed: int) -> None:
    try:
        History(seed).run()
    except Exception as failure:
        failure.add_note(f"replay this history with SEED={seed}")
        raise


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Everything of a history goes with its last reference; looking for cycles cost an eighth of the time."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("seeds", BLOCKS, ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_random_histories_end_as_the_model_says(seeds: range) -> None:
    for seed in seeds:
        check_history(seed)


def test_histories_are_long_and_many_enough() -> None:
    assert STEPS_MIN >= 30
    assert SEED or sum(map(len, BLOCKS)) == HISTORIES
