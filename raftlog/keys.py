"""Every key of the store: one column family, so the first byte says what kind of thing a key is.

Numbers are big-endian, so that keys sort as their numbers do.
"""

from __future__ import annotations

import struct

_SHARD_GENERATION = struct.Struct(">HI")
_SHARD_INDEX = struct.Struct(">HQ")
_SHARD_GENERATION_INDEX = struct.Struct(">HIQ")
_APPLIED_VALUE = struct.Struct(">QQ")

_LOG_MARK = b"\x01"
_APPLIED = b"\x02"
_LOCATION = b"\x03"
_STATE_FORMAT = b"\x04"
_STAGE = b"\x05"
_CONFIGURATION = b"\x06"
_STATE = b"\x10"

STATE_PREFIX_LENGTH = 1 + _SHARD_GENERATION.size
INDEX_MAX = (1 << 64) - 1
GENERATION_MAX = (1 << 32) - 1


def log_mark_key() -> bytes:
    """Return the key of the log's mark: where the scan at the next start begins, and what lies before it."""
    return _LOG_MARK


def state_format_key() -> bytes:
    """Return the key of the number that says what the states in this store hold; see `state_format`."""
    return _STATE_FORMAT


def applied_key(shard: int, generation: int = 0) -> bytes:
    """Return the key of the applied index of one generation of a shard's state; see `encode_applied`."""
    return _APPLIED + _SHARD_GENERATION.pack(shard, generation)


def applied_range() -> tuple[bytes, bytes]:
    """Return the first applied key there can be, and the first key after all of them."""
    return _APPLIED, _LOCATION


def location_key(shard: int, index: int) -> bytes:
    """Return the key under which the log finds the entry of a shard; see `tallymq.raftlog.locations`."""
    return _LOCATION + _SHARD_INDEX.pack(shard, index)


def location_range(shard: int, first: int, last: int = INDEX_MAX) -> tuple[bytes, bytes]:
    """Return the range of location keys of a shard's entries from `first` up to `last`, both among them."""
    if last < INDEX_MAX:
        end = location_key(shard, last + 1)
    else:
        end = _LOCATION + (shard + 1).to_bytes(2, "big") if shard < 0xFFFF else _STATE_FORMAT
    return location_key(shard, first), end


def stage_key(shard: int) -> bytes:
    """Return the key of how far a snapshot of the shard has come that is not installed yet."""
    return _STAGE + shard.to_bytes(2, "big")


def configuration_key(shard: int, generation: int, index: int) -> bytes:
    """Return the key of an applied entry that says who the members are; its value is the entry's payload."""
    return _CONFIGURATION + _SHARD_GENERATION_INDEX.pack(shard, generation, index)


def configuration_index(key: bytes) -> int:
    """Return the index of the entry that a configuration's key is for."""
    return int(_SHARD_GENERATION_INDEX.unpack(key[1:])[2])


def state_key(shard: int, generation: int, key: bytes) -> bytes:
    """Return the store's key for the rules' `key` in one generation of a shard's state."""
    return _STATE + _SHARD_GENERATION.pack(shard, generation) + key


def state_range_end(shard: int, generation: int) -> bytes:
    """Return the first key after all state keys of one generation of a shard."""
    prefix = int.from_bytes(state_key(shard, generation, b""), "big") + 1
    return prefix.to_bytes(STATE_PREFIX_LENGTH, "big")


def state_range(shard: int, first: int, last: int) -> tuple[bytes, bytes]:
    """Return the range of all state keys of a shard's generations from `first` up to `last`, both among them."""
    return state_key(shard, first, b""), state_range_end(shard, last)


def encode_applied(index: int, stamped_ms: int = 0) -> bytes:
    """Return the value stored under `applied_key`: the applied index and the newest time stamped up to it."""
    return _APPLIED_VALUE.pack(index, stamped_ms)


def decode_applied(value: bytes | None) -> int:
    """Return the applied index; 0 where nothing was applied yet."""
    return 0 if value is None else int(_APPLIED_VALUE.unpack(value)[0])


def decode_stamped(value: bytes | None) -> int:
    """Return the newest stamped time up to the applied index, Unix milliseconds; 0 where nothing had one."""
    return 0 if value is None else int(_APPLIED_VALUE.unpack(value)[1])


def applied_generation(key: bytes) -> tuple[int, int]:
    """Return shard and generation from an `applied_key`."""
    shard, generation = _SHARD_GENERATION.unpack(key[1:])
    return shard, generation
