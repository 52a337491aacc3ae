"""How values are written on the command line, and shown: durations, sizes, ids, headers, addresses, times."""

from __future__ import annotations

import re

import click

from tallymq.types import utc_time

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(?:\d+(?:ms|s|m|h|d))+\Z")
_DURATION_PART = re.compile(r"(\d+)(ms|s|m|h|d)")
_UNITS_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE = re.compile(r"(\d+)\s*([a-z]*)\Z", re.IGNORECASE)
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?\Z")
CLIENT_PORT = 7070
DURATION_MS_MAX = 36_525 * 86_400_000
SIZE_BYTES_MAX = 2**63 - 1


def duration(text: str) -> int:
    """Return the milliseconds of a duration such as 500ms, 10s, 1h30m or 7d; 0 needs no unit. Raises BadParameter."""
    written = text.strip().lower()
    if written != "0" and not _DURATION.match(written):
        raise click.BadParameter(f"{text!r} is not a duration; write for example 500ms, 10s, 10m, 1h30m or 7d.")
    duration_ms = sum(int(number) * _UNITS_MS[unit] for number, unit in _DURATION_PART.findall(written))
    if duration_ms > DURATION_MS_MAX:
        raise click.BadParameter(f"{text!r} is longer than 100 years.")
    return duration_ms


def timeout(text: str) -> int:
    """Return the milliseconds of a time-out, 1 ms to 1 day. Raises BadParameter."""
    timeout_ms = duration(text)
    if not 1 <= timeout_ms <= _UNITS_MS["d"]:
        raise click.BadParameter(f"{text!r} is not between 1ms and 1d.")
    return timeout_ms


def size(text: str) -> int:
    """Return the bytes of a size such as 4096, 64MiB or 10GB. Raises BadParameter."""
    match = _SIZE.match(text.strip())
    if match is None or match.group(2).lower() not in _UNITS_BYTES:
        raise click.BadParameter(f"{text!r} is not a size; write for example 4096, 64MiB or 10GB.")
    size_bytes = int(match.group(1)) * _UNITS_BYTES[match.group(2).lower()]
    if size_bytes > SIZE_BYTES_MAX:
        raise click.BadParameter(f"{text!r} is more than {SIZE_BYTES_MAX} bytes.")
    return size_bytes


def identity(text: str) -> bytes:
    """Return the 16 bytes of a transaction id or message id, written as 32 hexadecimal digits. Raises BadParameter."""
    if not re.fullmatch(r"[0-9A-Fa-f]{32}", text):
        raise click.BadParameter(f"{text!r} is not an id; an id is 32 hexadecimal digits.")
    return bytes.fromhex(text)


def header(text: str) -> tuple[str, bytes]:
    """Return name and value of a header, written as NAME=VALUE. Raises BadParameter."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not a header; write NAME=VALUE.")
    return valid_text(name), value.encode("utf-8", "surrogateescape")


def servers(text: str) -> tuple[str, ...]:
    """Return addresses, written as host:port and separated by commas, each once. Raises BadParameter."""
    addresses: dict[str, None] = {}
    for part in text.split(","):
        match = _ADDRESS.match(part.strip())
        port = int(match.group(2) or CLIENT_PORT) if match else 0
        if match is None or not 1 <= port <= 65_535:
            raise click.BadParameter(f"{part.strip()!r} is not an address; write host:port.")
        addresses[f"{match.group(1)}:{port}"] = None
    return tuple(addresses)


def valid_text(text: str) -> str:
    """Return the text, which must be UTF-8: the wire carries nothing else. Raises BadParameter."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise click.BadParameter("this is not UTF-8.") from None
    return text


def time_text(time_ms: int) -> str | None:
    """Return a Unix time in milliseconds as RFC 3339 in UTC, or None for 0 (no time)."""
    if time_ms == 0:
        return None
    return utc_time(time_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration_text(duration_ms: int) -> str:
    """Return a duration as `duration` reads it: at most two units, for people."""
    if duration_ms == 0:
        return "0"
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        number, duration_ms = divmod(duration_ms, _UNITS_MS[unit])
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts[:2])


def show_duration(value: object) -> str:
    """Return the duration that a column holds, for people."""
    return duration_text(value) if isinstance(value, int) else "-"


def size_text(size_bytes: int) -> str:
    """Return a size for people: 512 B, 1.5 MiB."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    size = float(size_bytes)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"


def plain_text(text: str) -> str:
    """Return the text with control characters written as escapes: what others wrote must not steer a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
