"""The main job, with every part of it killed again and again."""

import random
from pathlib import Path

import pytest

from tests.workloads.transfers import IN_FLIGHT_MIN, PARTS, run, schedule

TRANSFERS = 2_000
KILLS = 18
# Sixty seconds on a machine of one's own; this one is shared with a whole cluster and two databases.
SETTLE_S = 600.0


@pytest.mark.long
@pytest.mark.needs_postgres
@pytest.mark.needs_mariadb
def test_every_transfer_is_applied_once_whatever_dies(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"\nseed {seed}")
    outcome = run(tmp_path, TRANSFERS, schedule(KILLS, random.Random(seed)), SETTLE_S, tell=True)
    print(outcome)
    assert outcome.is_exact
    assert outcome.decided["in doubt"] == 0
    assert set(outcome.kills) == set(PARTS)
    assert outcome.in_flight_min >= IN_FLIGHT_MIN
