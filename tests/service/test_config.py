"""Settings: defaults, their order, and errors that name where they came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallymq.service.config import SettingsError, load
from tallymq.service.settings import SETTINGS, Address, configuration_page

ROOT = Path(__file__).resolve().parents[2]


def from_text(folder: Path, text: str) -> object:
    file = folder / "node.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, {}, {})


def test_without_any_setting_one_node_runs_on_loopback() -> None:
    settings = load(None, {}, {})
    assert (settings.node, settings.cluster, str(settings.data)) == ("node-1", "tallymq", "tallymq-data")
    assert (settings.listen, settings.listen_peers) == (Address("127.0.0.1", 7070), Address("127.0.0.1", 7071))
    assert settings.listen_metrics == Address("127.0.0.1", 7072)
    assert settings.validate_records is True
    assert settings.members == ()


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('node = "a"\ncluster = "a"\nshards = 2\n', encoding="utf-8")
    settings = load(file, {"TALLYMQ_NODE": "b", "TALLYMQ_CLUSTER": "b"}, {"node": "c"})
    assert (settings.node, settings.cluster, settings.shards) == ("c", "b", 2)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_every_setting_can_be_given_in_the_environment(setting) -> None:
    values = {
        "text": "some-name",
        "path": __file__,
        "address": "127.0.0.1:1",
        "integer": str(setting.high),
        "flag": "true",
        "choice": "debug",
        "members": "node-1=127.0.0.1:1/127.0.0.1:2",
    }
    other = {
        "election_ms_min": {"election_ms_max": "120000"},
        "heartbeat_ms": {"election_ms_min": "60000", "election_ms_max": "120000"},
        "client_certificate_required": {"client_ca": __file__, "server_certificate": __file__, "server_key": __file__},
        "client_ca": {"server_certificate": __file__, "server_key": __file__},
        "server_certificate": {"server_key": __file__},
        "server_key": {"server_certificate": __file__},
        "peer_certificate": {"peer_key": __file__, "peer_ca": __file__},
        "peer_key": {"peer_certificate": __file__, "peer_ca": __file__},
        "peer_ca": {"peer_certificate": __file__, "peer_key": __file__},
    }.get(setting.key, {})
    settings = load(None, {setting.variable: values[setting.kind]}, other)
    assert getattr(settings, setting.key) != load(None, {}, {}).__getattribute__(setting.key) or (
        setting.key == "validate_records"
    )


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('node = "a"\n\nnod = "b"\n', 3, "unknown key 'nod'"),
        ("# first\nshards = 0\n", 2, "shards is 0, allowed: 1 to 4,096"),
        ("shards = true\n", 1, "shards is True"),
        ('heartbeat_ms = "150ms"\n', 1, "heartbeat_ms is '150ms'"),
        ('\nlisten = "7070"\n', 2, "allowed: HOST:PORT"),
        ('listen = "127.0.0.1:65536"\n', 1, "allowed: HOST:PORT"),
        ('node = "two words"\n', 1, "allowed: 1 to 63"),
        ('log_level = "loud"\n', 1, "debug, info, warning, error"),
        ('insecure = "perhaps"\n', 1, "true or false"),
        ('members = "node-1"\n', 1, "[[members]]"),
        ('[[members]]\nnode = "node-1"\n', 1, "exactly the keys node, peer and client"),
        (
            '[[members]]\nnode="node-1"\npeer="h:1"\nclient="h:2"\n[[members]]\nnode="b"\npeer="h"\nclient="h:2"\n',
            5,
            "HOST:PORT",
        ),
        ("[storage]\nx = 1\n", 1, "unknown key 'storage'"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    with pytest.raises(SettingsError) as caught:
        from_text(tmp_path, text)
    assert f"node.toml, line {line}" in str(caught.value)
    assert what in str(caught.value)


def test_a_file_that_is_no_toml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="line 2"):
        from_text(tmp_path, 'node = "a"\n= 3\n')


@pytest.mark.parametrize(
    ("environment", "options", "what"),
    [
        ({"TALLYMQ_SHARDZ": "4"}, {}, "TALLYMQ_SHARDZ names no setting"),
        ({"TALLYMQ_SHARDS": "none"}, {}, "environment variable TALLYMQ_SHARDS"),
        ({}, {"shardz": "4"}, "option shardz: unknown key"),
        ({}, {"listen": "0.0.0.0:7070"}, "beyond loopback, without TLS"),
        ({}, {"listen_metrics": "[::]:7072"}, "beyond loopback, without TLS"),
        ({}, {"members": "node-1=10.0.0.1:1/10.0.0.1:2,node-2=10.0.0.2:1/10.0.0.2:2"}, "beyond loopback"),
        ({}, {"members": "node-2=127.0.0.1:1/127.0.0.1:2"}, "is not among the members"),
        ({}, {"members": "node-1=127.0.0.1:1/127.0.0.1:2,node-1=127.0.0.1:3/127.0.0.1:4"}, "listed twice"),
        ({}, {"listen": "h" * 254 + ":7070"}, "allowed: HOST:PORT"),
        ({}, {"listen_metrics": "127.0.0.1:7070"}, "listen and listen_metrics are both 127.0.0.1:7070"),
        ({}, {"server_key": __file__}, "must be given together"),
        ({}, {"server_key": "nowhere", "server_certificate": "nowhere"}, "there is no file nowhere"),
        ({}, {"client_certificate_required": "true"}, "needs client_ca"),
        ({}, {"election_ms_max": "900"}, "election_ms_max must be greater"),
        ({}, {"heartbeat_ms": "800"}, "at least twice heartbeat_ms"),
    ],
)
def test_what_is_impossible_or_unsafe_is_refused(environment: dict, options: dict, what: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(None, environment, options)
    assert what in str(caught.value)


def test_listening_beyond_loopback_is_possible_when_said_to_be_insecure() -> None:
    assert load(None, {}, {"listen": "0.0.0.0:7070", "insecure": "true"}).listen.host == "0.0.0.0"


def test_variables_of_the_client_are_none_of_ours() -> None:
    assert load(None, {"TALLYMQ_SERVER": "b:7070", "TALLYMQ_TLS_KEY": "mine.pem"}, {}).server_key is None


def test_the_page_about_the_settings_is_fresh() -> None:
    assert (ROOT / "docs/configuration.md").read_text(encoding="utf-8") == configuration_page()
