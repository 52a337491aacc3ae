"""Shapes a user of the client sees: messages, receipts, decisions, settings."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, TypedDict

from tallymq.exceptions import ConfigurationError, DecodeError

Body = bytes | str | dict[str, Any] | list[Any] | int | float | bool | None
"""What can be sent: bytes as they are, a string as UTF-8, anything else as JSON."""

Headers = dict[str, str | bytes]
"""Names of 1 to 255 bytes; a string value is sent as UTF-8."""


class MessageOptions(TypedDict, total=False):
    """What may be said of a message besides topic and body.

    `key` (at most 1,024 bytes): messages of one key go to one queue. `tag` (255 bytes) and `keys` (16 of 255 bytes) are
    for searching, `headers` (128, 32 KiB) for the consumer, `priority` (0 to 9) is carried along. `deliver_at` (aware,
    at most 40 days ahead): not before.
    """

    key: str | bytes
    tag: str
    keys: Sequence[str]
    headers: Headers
    priority: int
    deliver_at: datetime


JSON_TYPE = b"application/json"
TEXT_TYPE = b"text/plain; charset=utf-8"
CONTENT_TYPE = "content-type"


class Decision(Enum):
    """What became of the work a half message stands for."""

    COMMIT = "commit"
    ROLLBACK = "rollback"
    UNKNOWN = "unknown"
    """Not known now; asked again later."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A message is on stable storage of a majority.

    `id` is 32 hexadecimal digits. `offset` is its place in the queue, or None while it waits for its delivery time.
    """

    id: str
    topic: str
    queue: int
    offset: int | None


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files: the CA to trust; `certificate` and `key` together where the service asks for them."""

    ca: str | Path
    certificate: str | Path | None = None
    key: str | Path | None = None


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


def _duration_ms(text: str) -> int:
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(f"{text!r} is not a duration.", hint="Write for example 500ms, 1s, 5m or 2h.")
    return round(float(match[1]) * _UNIT_MS[match[2]])


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a message is delivered before it goes to the dead letters, and the wait before each further attempt.

    `attempts_max` is 1 to 1,000. `backoff` is "SHORTEST..LONGEST", for example "1s..5m"; it doubles with each attempt.
    """

    attempts_max: int = 16
    backoff: str = "1s..5m"
    backoff_ms_min: int = field(init=False)
    backoff_ms_max: int = field(init=False)

    def __post_init__(self) -> None:
        shortest, separator, longest = self.backoff.partition("..")
        low, high = _duration_ms(shortest), _duration_ms(longest if separator else shortest)
        if not 1 <= self.attempts_max <= 1_000:
            raise ConfigurationError(f"attempts_max is 1 to 1,000, not {self.attempts_max}.")
        if not 1 <= low <= high <= 86_400_000:
            raise ConfigurationError(f"backoff {self.backoff!r} is not between 1ms and 24h, shortest first.")
        object.__setattr__(self, "backoff_ms_min", low)
        object.__setattr__(self, "backoff_ms_max", high)


class Reject(Exception):
    """Raised by a handler: this message can never be handled; to the dead letters at once, with this reason."""


class RetryLater(Exception):
    """Raised by a handler: deliver again not before `delay_s` seconds."""

    def __init__(self, delay_s: float, reason: str = "handler asked for a later attempt") -> None:
        self.delay_s = delay_s
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class _Readable:
    """What can be read of any message. Times are aware and UTC."""

    id: str
    topic: str
    queue: int
    key: str
    tag: str
    keys: tuple[str, ...]
    headers: dict[str, bytes]
    body: bytes
    priority: int
    born_time: datetime | None
    attempt: int

    @property
    def content_type(self) -> str:
        """The content-type header, or an empty string."""
        return self.headers.get(CONTENT_TYPE, b"").decode("utf-8", "replace")

    def json(self) -> Any:  # noqa: ANN401 - JSON is anything
        """Return the body read as JSON. Raises DecodeError."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise DecodeError(f"The body of message {self.id} is not JSON: {error}.") from error

    def text(self) -> str:
        """Return the body as text. Raises DecodeError if it is not UTF-8."""
        try:
            return self.body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DecodeError(f"The body of message {self.id} is not UTF-8: {error.reason}.") from error


@dataclass(frozen=True, slots=True)
class Message(_Readable):
    """A delivered message. `attempt` counts deliveries to the group from 1, `offset` is its place in the queue."""

    offset: int
    visible_time: datetime


@dataclass(frozen=True, slots=True)
class HalfMessage(_Readable):
    """A half message in question, for check code written by hand. `attempt` counts the checks from 1."""

    prepared_time: datetime


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_time(unix_ms: int) -> datetime:
    """Return an aware UTC time from Unix milliseconds; the nearest there is where that is before year 1 or after 9999.

    Born times come from whoever sent the message: none of them may stop a consumer.
    """
    try:
        return _EPOCH + timedelta(milliseconds=unix_ms)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if unix_ms > 0 else datetime.min.replace(tzinfo=UTC)


def jitter(delay_s: float) -> float:
    """Return the delay made shorter by up to half, so that many who wait do not return together."""
    return delay_s * (0.5 + random.random() / 2)  # noqa: S311 - spreads load, keeps no secret
