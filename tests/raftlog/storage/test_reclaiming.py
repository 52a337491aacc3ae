"""Room is given back only where nothing needs it, whenever the power goes; what is needed is carried forward."""

import pytest

from tests.support.reclaim_machine import ReclaimMachine

CUTS = {"freed": 0, "carried": 0}


@pytest.mark.parametrize("seed", range(60))
def test_what_is_needed_survives_power_cuts_while_files_are_given_back(seed: int) -> None:
    machine = ReclaimMachine(seed)
    for _ in range(6):
        for _ in range(machine.random.randint(1, 200)):
            machine.step()
        machine.crash(power=machine.random.random() < 0.8)
    CUTS["freed"] += machine.freed
    CUTS["carried"] += machine.carried
    assert machine.crashes == 6


def test_enough_was_given_back_and_carried_for_that_to_mean_something() -> None:
    assert CUTS["freed"] > 100
    assert CUTS["carried"] > 100_000
