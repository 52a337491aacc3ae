"""Looking at batches and requests byte by byte: lengths, repetition, slices."""

from __future__ import annotations

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymq.proto import frames_pb2, messaging_pb2
from tallymq.service.batches import check_batch, encoded_size
from tallymq.service.errors import Refused
from tallymq.service.fields import decode, refuse_repeated
from tallymq.service.slices import are_consecutive, cut, positions_of, visible
from tallymq.txn.bits import full
from tests.service.running import batch

M = messaging_pb2
SIZES = st.lists(st.integers(0, 400) | st.sampled_from([127, 128, 16_383, 16_384]), min_size=1, max_size=40)


def records(sizes: list[int]) -> list[messaging_pb2.Record]:
    return [M.Record(body=bytes([number % 251]) * size) for number, size in enumerate(sizes)]


@given(SIZES, st.data())
def test_a_slice_is_exactly_the_chosen_records(sizes: list[int], data: st.DataObject) -> None:
    made = records(sizes)
    whole = M.RecordBatch(records=made).SerializeToString()
    bits = data.draw(st.integers(0, full(len(made))))
    part = M.RecordBatch.FromString(cut(whole, bits))
    assert list(part.records) == [record for number, record in enumerate(made) if bits >> number & 1]
    assert positions_of(bits) == [number for number in range(len(made)) if bits >> number & 1]


@given(SIZES)
def test_a_batch_as_clients_make_it_passes_and_its_size_is_foreseen(sizes: list[int]) -> None:
    made = frames_pb2.Batch.FromString(batch("t", records(sizes)).SerializeToString())
    check_batch(made, validate_records=True)
    assert encoded_size(list(made.header.record_lengths)) == len(made.records)


def test_a_wholly_visible_batch_is_served_untouched() -> None:
    whole = M.RecordBatch(records=records([1, 2, 3])).SerializeToString()
    same, crc32c = visible(whole, 42, 3, 0b111)
    assert same is whole
    assert crc32c == 42
    part, crc32c = visible(whole, 42, 3, 0b101)
    assert crc32c == google_crc32c.value(part)


@pytest.mark.parametrize(("bits", "expected"), [(0b1, True), (0b0110, True), (0b101, False), (0, True)])
def test_consecutive_bits_are_told_from_others(bits: int, expected: bool) -> None:
    assert are_consecutive(bits) is expected


def test_garbage_within_a_record_is_let_through_only_when_records_are_not_validated() -> None:
    garbage = b"\x0a\x02\x2a\x7f"
    header = M.BatchHeader(topic="t", record_lengths=[2])
    made = frames_pb2.Batch(header=header, records=garbage)
    check_batch(made, validate_records=False)
    with pytest.raises(Refused, match="MALFORMED_BATCH"):
        check_batch(made, validate_records=True)
    made.header.record_lengths[0] = 3
    with pytest.raises(Refused, match="WRONG_RECORD_LENGTHS"):
        check_batch(made, validate_records=False)


def test_unknown_fields_of_newer_clients_are_no_repetition() -> None:
    request = M.CommitRequest(producer_group="g").SerializeToString() + b"\xa0\x06\x01\xa0\x06\x01"
    assert decode(M.CommitRequest, request).producer_group == "g"


def test_lists_written_without_packing_are_accepted() -> None:
    raw = M.BatchHeader(topic="t").SerializeToString() + b"\x20\x03\x20\x04"
    assert list(decode(M.BatchHeader, raw).record_lengths) == [3, 4]


# CommitRequest: producer_group twice is refused; handles may repeat, but not what is within one.
@pytest.mark.parametrize("raw", [b"\x0a\x01a\x0a\x01b", b"\x12\x04\x08\x01\x08\x02"])
def test_a_field_that_stands_twice_is_refused_at_any_depth(raw: bytes) -> None:
    with pytest.raises(Refused, match="REPEATED_FIELD"):
        decode(M.CommitRequest, raw)


def test_a_list_may_have_several_elements() -> None:
    raw = b"\x12\x02\x08\x01\x12\x02\x10\x01"
    refuse_repeated(M.CommitRequest.DESCRIPTOR, raw)
    assert len(M.CommitRequest.FromString(raw).handles) == 2


def test_the_private_twin_has_the_fields_of_the_public_schema() -> None:
    pool = messaging_pb2.DESCRIPTOR.message_types_by_name
    compared = 0
    for name, twin in frames_pb2.DESCRIPTOR.message_types_by_name.items():
        public = pool.get(name)
        if public is None:
            continue
        compared += 1
        shape = [(f.number, f.name, f.is_repeated) for f in public.fields]
        assert [(f.number, f.name, f.is_repeated) for f in twin.fields] == shape
    assert compared >= 8
