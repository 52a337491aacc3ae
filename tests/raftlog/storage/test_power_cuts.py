"""Whatever was synced survives any number of power cuts and kills, in order; what was not is never half there."""

import pytest

from tests.support.log_machine import LogMachine


@pytest.mark.parametrize("seed", range(60))
def test_what_was_synced_survives_power_cuts_and_nothing_is_invented(seed: int) -> None:
    machine = LogMachine(seed)
    for _ in range(5):
        for _ in range(machine.random.randint(1, 120)):
            machine.step()
        machine.crash(power=True)
    assert machine.crashes == 5


@pytest.mark.parametrize("seed", range(1000, 1015))
def test_a_killed_process_loses_nothing_it_wrote(seed: int) -> None:
    machine = LogMachine(seed)
    for _ in range(4):
        for _ in range(machine.random.randint(1, 120)):
            machine.step()
        machine.write()
        machine.crash(power=False)
        assert not machine.since
    assert machine.crashes == 4
