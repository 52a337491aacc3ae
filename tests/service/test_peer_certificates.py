"""Wrong certificates between nodes, with the program itself: refused at the start, or said why in both logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tallymq.raftlog.settings import TlsFiles
from tests.service.test_program import Program, assert_one_sentence, refused
from tests.support.certificates import Authority
from tests.support.ports import free_ports
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("strangers"))


def arguments(node: str, ports: list[int], files: TlsFiles) -> list[str]:
    members = ",".join(f"node-{n}=127.0.0.1:{port}/127.0.0.1:{port}" for n, port in enumerate(ports, start=1))
    given = {
        "members": members,
        "peer_certificate": files.certificate,
        "peer_key": files.key,
        "peer_ca": files.ca,
    }
    options = [part for key, value in given.items() for part in ("--set", f"{key}={value}")]
    return ["--node", node, "--listen-peers", f"127.0.0.1:{ports[int(node[-1]) - 1]}", *options]


@contextmanager
def pair(folder: Path, first: TlsFiles, second: TlsFiles) -> Iterator[tuple[Path, Path]]:
    """Run two nodes; yield the files their logs go to."""
    ports = free_ports(2)
    logs = (folder / "node-1.log", folder / "node-2.log")
    with ExitStack() as stack:
        for node, files, log in zip(("node-1", "node-2"), (first, second), logs, strict=True):
            (folder / node).mkdir()
            running = stack.enter_context(program_with_log(folder / node, log, *arguments(node, ports, files)))
            assert running.address
        yield logs


@contextmanager
def program_with_log(folder: Path, log: Path, *given: str) -> Iterator[Program]:
    with log.open("w", encoding="utf-8") as errors:
        running = Program(folder, *given, errors=errors)
        try:
            yield running
        finally:
            running.process.kill()
            running.process.wait()
            running.process.stdout.close()


def warnings(log: Path) -> list[str]:
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    return [line["event"] for line in lines if line["level"] == "warning"]


def said(log: Path, what: str) -> None:
    wait_for(f"{what!r} in {log.name}", lambda: any(what in event for event in warnings(log)))


def test_another_nodes_certificate_is_one_clear_sentence_and_nothing_is_made(
    tmp_path: Path, authority: Authority
) -> None:
    free = ("--listen", "127.0.0.1:0", "--listen-metrics", "127.0.0.1:0", "--set", "free_bytes_min=0")
    ended = refused(tmp_path, *free, *arguments("node-1", free_ports(2), authority.issue("node-2")))
    assert_one_sentence(ended, 1, "is of node 'node-2', this node is 'node-1'")
    assert not (tmp_path / "tallymq-data").exists()


def test_a_foreign_authority_is_said_in_both_logs(tmp_path: Path, authority: Authority, stranger: Authority) -> None:
    with pair(tmp_path, authority.issue("node-1"), stranger.issue("node-2")) as (first, second):
        said(first, "its certificate is not accepted here: ")
        said(second, "it may not accept this node's certificate")


def test_a_certificate_of_a_foreign_authority_is_told_at_the_start_too(
    tmp_path: Path, authority: Authority, stranger: Authority
) -> None:
    foreign = replace(stranger.issue("node-1"), ca=authority.path)
    with pair(tmp_path, foreign, authority.issue("node-2")) as (first, second):
        said(first, "was not issued by the authority")
        said(first, "it may not accept this node's certificate")
        said(second, "its certificate is not accepted here: ")


def test_an_expired_certificate_is_said_in_both_logs(tmp_path: Path, authority: Authority) -> None:
    old = authority.issue("node-2", "node-2-old", days=-1)
    with pair(tmp_path, authority.issue("node-1"), old) as (first, second):
        said(second, "expired at")
        said(first, "its certificate is not accepted here: certificate has expired")
        said(second, "it may not accept this node's certificate")
