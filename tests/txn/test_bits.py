"""Bit sets: the shortcuts answer what counting bit by bit does."""

import random

import pytest

from tallymq.txn import bits


def slow(bit_set: int) -> list[int]:
    return [n for n in range(bit_set.bit_length()) if bit_set >> n & 1]


SETS = [0, 1, 0b1010, bits.full(1024), 1 << 16_383, *(random.Random(seed).getrandbits(70) for seed in range(200))]


@pytest.mark.parametrize("bit_set", SETS, ids=lambda bit_set: f"{hash(bit_set):x}")
def test_a_set_is_stored_and_found_again(bit_set: int) -> None:
    assert bits.unpack(bits.pack(bit_set)) == bit_set
    assert len(bits.pack(bit_set)) <= 2 + (bit_set.bit_length() + 7) // 8


def test_one_bit_of_a_large_batch_takes_three_bytes() -> None:
    assert len(bits.pack(1 << 16_383)) == 3


@pytest.mark.parametrize("bit_set", SETS, ids=lambda bit_set: f"{hash(bit_set):x}")
def test_runs_are_the_bits(bit_set: int) -> None:
    found = [n for first, count in bits.runs(bit_set) for n in range(first, first + count)]
    assert found == slow(bit_set)


@pytest.mark.parametrize("bit_set", SETS, ids=lambda bit_set: f"{hash(bit_set):x}")
def test_find_and_pick_count_from_below(bit_set: int) -> None:
    members = slow(bit_set)
    for rank, member in enumerate(members[:80]):
        assert bits.find(bit_set, rank) == member
        assert slow(bits.pick(bit_set, rank, 3)) == members[rank : rank + 3]
