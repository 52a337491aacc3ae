"""The example unit is one that systemd takes, and its command is one that our program takes."""

import configparser
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parents[1] / "packaging" / "systemd" / "tallymqd.service"


def parsed() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes=("#", ";"))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, encoding="utf-8")
    return parser


def test_the_unit_has_the_sections_of_a_service() -> None:
    assert set(parsed().sections()) == {"Unit", "Service", "Install"}


@pytest.mark.needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    text, replaced = re.subn(r"^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text(), flags=re.MULTILINE)
    assert replaced == 1
    unit = tmp_path / UNIT.name
    unit.write_text(text, encoding="utf-8")
    command = ["systemd-analyze", "verify", unit]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def test_the_units_command_starts_the_program_with_options_it_has(tmp_path: Path) -> None:
    service = parsed()["Service"]
    configuration = tmp_path / "node.toml"
    configuration.write_text("nonsense = 1\n", encoding="utf-8")
    command = service["ExecStart"].replace("/etc/tallymq/node.toml", str(configuration))
    _program, *arguments = shlex.split(command.replace("${STATE_DIRECTORY}", str(tmp_path / "data")))
    ran = subprocess.run(
        [sys.executable, "-m", "tallymq.service", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    # It got as far as reading the file; and what it exits with then is what the unit does not start again after.
    assert "line 1: unknown key 'nonsense'" in ran.stderr
    assert str(ran.returncode) == service["RestartPreventExitStatus"]
