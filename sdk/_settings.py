"""What a client was told at its making, checked."""

from __future__ import annotations

from dataclasses import dataclass

from tallymq._records import check_name
from tallymq.exceptions import ConfigurationError, Refused
from tallymq.types import Tls

DEFAULT_PORT = 7070
TIMEOUT_S_MAX = 600.0
SETTLE_S_MIN = 2.0
"""What is to be said at the end gets so long, even where handlers took all of `shutdown_timeout_s`."""
CHECK_AFTER_MS_MIN, CHECK_AFTER_MS_MAX = 1_000, 86_400_000


@dataclass(frozen=True, slots=True)
class Settings:
    """`addresses` are host:port; `group` may be empty for a client that only publishes; times in the unit they name."""

    addresses: tuple[str, ...]
    group: str
    timeout_s: float
    shutdown_timeout_s: float
    check_after_ms: int
    tls: Tls | None
    client: str


def addresses_of(url: str) -> tuple[str, ...]:
    """Return host:port of each node named in `tally://host:port,host2:port`. Raises ConfigurationError."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme != "tally":
        raise ConfigurationError(f"{url!r} is not a TallyMQ address.", hint="Write tally://host:port,host:port.")
    addresses = []
    for part in rest.rstrip("/").split(","):
        host, colon, port = part.rpartition(":")
        if not colon or part.endswith("]"):
            host, port = part, str(DEFAULT_PORT)
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise ConfigurationError(
                f"{part!r} in {url!r} is not host:port.", hint="Write tally://host:port,host:port."
            )
        addresses.append(f"{host}:{port}")
    return tuple(dict.fromkeys(addresses))


def settings_of(
    url: str,
    *,
    group: str,
    timeout_s: float,
    shutdown_timeout_s: float,
    check_after_s: float,
    tls: Tls | None,
    client: str,
) -> Settings:
    """Check and return the settings. Raises ConfigurationError."""
    if group:
        try:
            check_name(group, "Producer group")
        except Refused as error:
            raise ConfigurationError(error.message, hint=error.hint) from error
    if not 0 < timeout_s <= TIMEOUT_S_MAX:
        raise ConfigurationError(f"timeout_s is above 0 and at most {TIMEOUT_S_MAX:g}, not {timeout_s}.")
    if shutdown_timeout_s < 0:
        raise ConfigurationError(f"shutdown_timeout_s is 0 or more, not {shutdown_timeout_s}.")
    check_after_ms = round(check_after_s * 1000)
    if check_after_ms and not CHECK_AFTER_MS_MIN <= check_after_ms <= CHECK_AFTER_MS_MAX:
        raise ConfigurationError(f"check_after_s is 1 to 86,400, or 0 for the service's, not {check_after_s}.")
    return Settings(addresses_of(url), group, timeout_s, shutdown_timeout_s, check_after_ms, tls, client[:255])
