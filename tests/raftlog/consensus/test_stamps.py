"""Stamped time: never back, never far from how time passes, and one wrong clock does not move it."""

from tallymq.raftlog.stamps import STRAY_MS_MAX, Stamps, median_ms

HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000


class Clocks:
    def __init__(self) -> None:
        self.wall_ms = START_MS
        self.monotonic_ms = 5_000

    def pass_by(self, duration_ms: int) -> None:
        self.wall_ms += duration_ms
        self.monotonic_ms += duration_ms

    def stamps(self) -> Stamps:
        return Stamps(lambda: self.wall_ms, lambda: self.monotonic_ms)


def test_stamps_follow_a_good_clock_exactly() -> None:
    clocks = Clocks()
    stamps = clocks.stamps()
    for _ in range(10):
        clocks.pass_by(123)
        assert stamps.next_ms() == clocks.wall_ms


def test_a_clock_set_an_hour_ahead_moves_time_by_the_bound_only() -> None:
    clocks = Clocks()
    stamps = clocks.stamps()
    clocks.wall_ms += HOUR_MS
    assert stamps.next_ms() == START_MS + STRAY_MS_MAX
    clocks.pass_by(1_000)
    assert stamps.next_ms() == START_MS + 1_000 + STRAY_MS_MAX


def test_a_clock_set_an_hour_back_neither_turns_time_back_nor_stops_it() -> None:
    clocks = Clocks()
    stamps = clocks.stamps()
    before = stamps.next_ms()
    clocks.wall_ms -= HOUR_MS
    assert stamps.next_ms() == before
    clocks.pass_by(10_000)
    assert stamps.next_ms() == before + 10_000 - STRAY_MS_MAX


def test_a_new_leader_never_goes_behind_what_was_stamped() -> None:
    clocks = Clocks()
    stamps = clocks.stamps()
    stamps.lead(START_MS + HOUR_MS, [START_MS, START_MS, START_MS])
    assert stamps.next_ms() == START_MS + HOUR_MS
    clocks.pass_by(2_000)
    assert stamps.next_ms() == START_MS + HOUR_MS + 2_000 - STRAY_MS_MAX


def test_a_new_leader_catches_up_with_the_clocks_of_a_majority_and_not_with_its_own() -> None:
    clocks = Clocks()
    clocks.wall_ms += 24 * HOUR_MS
    stamps = clocks.stamps()
    stamps.lead(START_MS - HOUR_MS, [clocks.wall_ms, START_MS, START_MS + 5])
    assert stamps.next_ms() == START_MS + 5 + STRAY_MS_MAX
    assert stamps.ahead_ms([clocks.wall_ms, START_MS, START_MS]) == 5 + STRAY_MS_MAX


def test_the_median_is_a_clock_that_at_least_half_have_reached() -> None:
    assert [median_ms([5]), median_ms([9, 1]), median_ms([9, 1, 5]), median_ms([1, 2, 3, 99])] == [5, 1, 5, 2]
