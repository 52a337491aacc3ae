"""All fuzzers by name: what each reads, and what it begins from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.fuzz import disk, wire


class Target(NamedTuple):
    """`run` returns, or raises what nobody planned. `length_max` bounds what the fuzzer makes, in bytes."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    length_max: int = 4096


TARGETS: dict[str, Target] = {
    "frames": Target(wire.read_frames, wire.frame_seeds),
    "message": Target(wire.read_message, wire.message_seeds),
    "entry": Target(wire.read_entry, wire.entry_seeds),
    "hello": Target(wire.read_hello, wire.hello_seeds),
    "batches": Target(wire.read_batches, wire.batch_seeds),
    "record": Target(disk.read_record, disk.record_seeds),
    "log-bytes": Target(disk.recover_bytes, disk.log_byte_seeds, 300),
    "log-records": Target(disk.recover_records, disk.log_record_seeds),
    "payload": Target(disk.read_payload, disk.payload_seeds, 512),
    "mark": Target(disk.read_mark, disk.mark_seeds, 1024),
    "location": Target(disk.read_location, disk.location_seeds, 64),
    "state": Target(disk.read_state, disk.state_seeds),
    "identity": Target(disk.read_identity, disk.identity_seeds, 1024),
}
