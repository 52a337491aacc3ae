"""Reading the settings: a TOML file, then the environment, then the command line; all or nothing.

Every error is one sentence that names where the value came from (file and line, variable or option) and what is
allowed.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tallymq.service.settings import SETTINGS, Address, MemberSetting, ServerSettings, Setting

MEMBER_KEYS = ("node", "peer", "client")
PREFIX = "TALLYMQ_"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_BY_KEY = {setting.key: setting for setting in SETTINGS}
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class SettingsError(ValueError):
    """A setting is wrong; the text is one sentence for a person. Nothing was started."""


def load(file: Path | None, environment: Mapping[str, str], options: Mapping[str, str]) -> ServerSettings:
    """Return all settings; raises SettingsError. `options` are keys of the command line with their texts."""
    values: dict[str, Any] = {setting.key: _parse(setting, setting.default, "the default") for setting in SETTINGS}
    if file is not None:
        values.update(_from_file(file))
    values.update(_from_environment(environment))
    for key, text in options.items():
        where = f"option {key}"
        values[key] = _parse(_known(key, where), text, where)
    settings = ServerSettings(**values)
    _check_together(settings)
    return settings


def _from_file(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {file}: {error}") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: {error}") from None
    values: dict[str, Any] = {}
    for key, value in document.items():
        where = f"{file}, line {line_of(text, key)}"
        setting = _known(key, where)
        if setting.kind == "members":
            values[key] = _members(value, file, text)
        else:
            values[key] = _parse(setting, value, where)
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    variables = {setting.variable: setting for setting in SETTINGS}
    values = {}
    for name, text in environment.items():
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES:
            continue
        setting = variables.get(name)
        if setting is None:
            raise SettingsError(f"environment variable {name} names no setting of tallymqd")
        values[setting.key] = _parse(setting, text, f"environment variable {name}")
    return values


OTHER_VARIABLES = frozenset(
    PREFIX + name
    for name in (
        "CONFIG",
        "SERVER",
        "OPERATOR",
        "COMPLETE",
        "TLS_CA",
        "TLS_CERT",
        "TLS_KEY",
        "TIMEOUT",
        "OUTPUT",
        "NO_SKIPS",
        "URL",
    )
)
"""Variables of the same prefix that are not settings of the server."""


def _known(key: str, where: str) -> Setting:
    setting = _BY_KEY.get(key)
    if setting is None:
        raise SettingsError(f"{where}: unknown key {key!r}; allowed are {', '.join(_BY_KEY)}")
    return setting


def line_of(text: str, key: str, occurrence: int = 1) -> int:
    """Return the line on which `key` is set, or its table begins, for the n-th time; 1 if it cannot be found."""
    pattern = re.compile(rf"""^\s*(?:["']?{re.escape(key)}["']?\s*[.=]|\[\[?\s*["']?{re.escape(key)}["']?\s*[\].])""")
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.match(line):
            occurrence -= 1
            if occurrence == 0:
                return number
    return 1


def _parse(setting: Setting, value: object, where: str) -> object:
    """Return the value as its kind has it; raises SettingsError."""
    parsed = _PARSERS[setting.kind](setting, value)
    if parsed is _BAD:
        raise SettingsError(f"{where}: {setting.key} is {value!r}, allowed: {setting.allowed}")
    return parsed


_BAD = object()
HOST_BYTES_MAX = 253
"""No name in the DNS is longer."""


def _parse_text(_setting: Setting, value: object) -> object:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else _BAD


def _parse_path(setting: Setting, value: object) -> object:
    if not isinstance(value, str) or "\0" in value:
        return _BAD
    if not value:
        return None if setting.default == "" else _BAD
    return Path(value)


def _parse_address(setting: Setting, value: object) -> object:
    if value == "" and setting.default == "":
        return None
    address = parse_address(value)
    return _BAD if address is None else address


def parse_address(value: object) -> Address | None:
    """Return HOST:PORT as an address, None if it is none."""
    if not isinstance(value, str):
        return None
    host, colon, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if (
        not colon
        or not 1 <= len(host.encode()) <= HOST_BYTES_MAX
        or not port.isascii()
        or not port.isdigit()
        or not 0 <= int(port) <= 65_535
    ):
        return None
    return Address(host, int(port))


def _parse_integer(setting: Setting, value: object) -> object:
    if isinstance(value, str):
        value = int(value) if re.fullmatch(r"[0-9]{1,18}", value) else _BAD
    if isinstance(value, bool) or not isinstance(value, int) or not setting.low <= value <= setting.high:
        return _BAD
    return value


def _parse_flag(_setting: Setting, value: object) -> object:
    if isinstance(value, str):
        return _FLAGS.get(value.lower(), _BAD)
    return value if isinstance(value, bool) else _BAD


def _parse_choice(setting: Setting, value: object) -> object:
    return value if value in setting.choices else _BAD


def _parse_members(_setting: Setting, value: object) -> object:
    """Return members from NODE=PEER/CLIENT,... as variables and options give them."""
    if not isinstance(value, str):
        return _BAD
    members = []
    for part in value.split(",") if value else []:
        matched = re.fullmatch(r"([^=]+)=([^/]+)/(.+)", part.strip())
        member = _member(*matched.groups()) if matched else None
        if member is None:
            return _BAD
        members.append(member)
    return tuple(members)


def _member(node: object, peer: object, client: object) -> MemberSetting | None:
    peer_address, client_address = parse_address(peer), parse_address(client)
    if not isinstance(node, str) or not _NAME.fullmatch(node) or peer_address is None or client_address is None:
        return None
    return MemberSetting(node, peer_address, client_address)


def _members(value: object, file: Path, text: str) -> tuple[MemberSetting, ...]:
    """Return members from their tables in a file."""
    allowed = _BY_KEY["members"].allowed
    if not isinstance(value, list):
        raise SettingsError(f"{file}, line {line_of(text, 'members')}: members must be {allowed}")
    members = []
    for number, table in enumerate(value, start=1):
        where = f"{file}, line {line_of(text, 'members', number)}"
        if not isinstance(table, dict) or set(table) != set(MEMBER_KEYS):
            raise SettingsError(f"{where}: a member must have exactly the keys node, peer and client")
        member = _member(table["node"], table["peer"], table["client"])
        if member is None:
            raise SettingsError(f"{where}: a member's node is a name, its peer and client are HOST:PORT")
        members.append(member)
    return tuple(members)


_PARSERS: dict[str, Callable[[Setting, object], object]] = {
    "text": _parse_text,
    "path": _parse_path,
    "address": _parse_address,
    "integer": _parse_integer,
    "flag": _parse_flag,
    "choice": _parse_choice,
    "members": _parse_members,
}


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_together(settings: ServerSettings) -> None:
    """Refuse settings that are impossible, or unsafe, together."""
    _check_files(settings)
    if settings.election_ms_max <= settings.election_ms_min:
        raise SettingsError("election_ms_max must be greater than election_ms_min")
    if settings.election_ms_min < 2 * settings.heartbeat_ms:
        raise SettingsError("election_ms_min must be at least twice heartbeat_ms")
    _check_ports(settings)
    names = [member.node for member in settings.members]
    if len(set(names)) != len(names):
        raise SettingsError("a node is listed twice among the members")
    if names and settings.node not in names:
        raise SettingsError(f"this node, {settings.node!r}, is not among the members {', '.join(names)}")
    if not settings.insecure:
        _check_secure(settings)


def _check_ports(settings: ServerSettings) -> None:
    """Refuse one address for two of the node's own ports; port 0, any free one, may stand again."""
    keys = ["listen", "listen_metrics"] + (["listen_peers"] if settings.members else [])
    taken: dict[object, str] = {}
    for key in keys:
        address = getattr(settings, key)
        if address.port and address in taken:
            raise SettingsError(f"{taken[address]} and {key} are both {address}: give each a port of its own")
        taken[address] = key


def _check_files(settings: ServerSettings) -> None:
    together = (
        ("server_certificate", settings.server_certificate, "server_key", settings.server_key),
        ("peer_certificate", settings.peer_certificate, "peer_key", settings.peer_key),
        ("peer_certificate", settings.peer_certificate, "peer_ca", settings.peer_ca),
    )
    for first, one, second, other in together:
        if (one is None) != (other is None):
            raise SettingsError(f"{first} and {second} must be given together")
    if settings.client_certificate_required and settings.client_ca is None:
        raise SettingsError("client_certificate_required needs client_ca")
    if settings.client_ca is not None and settings.server_certificate is None:
        raise SettingsError("client_ca needs server_certificate")
    for setting in SETTINGS:
        path = getattr(settings, setting.key)
        if setting.unit == "PEM" and path is not None and not path.is_file():
            raise SettingsError(f"{setting.key}: there is no file {path}")


def _check_secure(settings: ServerSettings) -> None:
    """Refuse to be reached from other machines without TLS."""
    advice = "give certificates (`tallymq certs` makes some) or say --insecure"
    for key, address in (("listen", settings.listen), ("listen_metrics", settings.listen_metrics)):
        if not is_loopback(address.host) and settings.server_certificate is None:
            raise SettingsError(f"{key} is {address}, beyond loopback, without TLS: {advice}")
    if len(settings.members) > 1 and settings.peer_certificate is None:
        hosts = [settings.listen_peers.host, *(member.peer.host for member in settings.members)]
        beyond = [host for host in hosts if not is_loopback(host)]
        if beyond:
            raise SettingsError(f"peers are at {beyond[0]}, beyond loopback, without TLS: {advice}")
