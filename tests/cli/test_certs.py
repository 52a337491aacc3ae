"""`tallymq certs`: certificates that serve a node and a client for mutual TLS, and that are never lost by mistake."""

import os
import stat
import sys
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tallymq.proto import admin_pb2 as admin
from tests.cli.canned import canned_server
from tests.cli.conftest import Tallymq


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_node_and_an_operator_speak_mutual_tls_with_them(bare: Tallymq, tmp_path: Path) -> None:
    made = bare("certs", "node1", "operator", "--out", str(tmp_path), "-o", "json")
    assert made.code == 0
    assert made.data[0] == {
        "name": "node1",
        "certificate": str(tmp_path / "node1.pem"),
        "key": str(tmp_path / "node1-key.pem"),
        "ca": str(tmp_path / "ca.pem"),
    }
    files = contents(tmp_path)
    pair = [(files["node1-key.pem"], files["node1.pem"])]
    credentials = grpc.ssl_server_credentials(pair, files["ca.pem"], require_client_auth=True)
    with canned_server(credentials) as server:
        server.will("ListTopics", admin.ListTopicsReply())
        ask = ("--server", server.address, "--tls-ca", str(tmp_path / "ca.pem"), "topic", "list", "-o", "json")
        mine = ("--tls-cert", str(tmp_path / "operator.pem"), "--tls-key", str(tmp_path / "operator-key.pem"))
        assert bare(*ask, *mine).data == []
        stranger = bare(*ask)
        assert stranger.code == 5, "without a certificate nobody gets in"
        assert "Traceback" not in stranger.err


def test_a_certificate_names_the_node_and_where_it_is(bare: Tallymq, tmp_path: Path) -> None:
    words = (
        "certs",
        "node1",
        "--out",
        str(tmp_path),
        "--san",
        "node1.example.com",
        "--san",
        "10.0.0.4",
        "--days",
        "30",
    )
    assert bare(*words).code == 0
    certificate = x509.load_pem_x509_certificate((tmp_path / "node1.pem").read_bytes())
    assert [name.value for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["node1"]
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node1", "localhost", "node1.example.com"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "10.0.0.4"]
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 30


def test_keys_are_readable_by_their_owner_alone(bare: Tallymq, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert bare("certs", "node1", "--out", str(tmp_path / "new")).code == 0
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert modes == {"ca.pem": 0o644, "ca-key.pem": 0o600, "node1.pem": 0o644, "node1-key.pem": 0o600}


def test_nothing_is_overwritten_unless_told_and_the_ca_never(bare: Tallymq, tmp_path: Path) -> None:
    assert bare("certs", "node1", "--out", str(tmp_path)).code == 0
    before = contents(tmp_path)
    refused = bare("certs", "node2", "node1", "--out", str(tmp_path))
    assert refused.code == 4
    assert "node1.pem exists; nothing was written." in refused.err
    assert contents(tmp_path) == before
    assert bare("certs", "node1", "--out", str(tmp_path), "--force").code == 0
    after = contents(tmp_path)
    assert (after["ca.pem"], after["ca-key.pem"]) == (before["ca.pem"], before["ca-key.pem"])
    assert after["node1.pem"] != before["node1.pem"]


def test_a_node_added_later_has_the_same_ca(bare: Tallymq, tmp_path: Path) -> None:
    assert bare("certs", "node1", "--out", str(tmp_path)).code == 0
    assert bare("certs", "node2", "--out", str(tmp_path)).code == 0
    ca = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
    for name in ("node1", "node2"):
        x509.load_pem_x509_certificate((tmp_path / f"{name}.pem").read_bytes()).verify_directly_issued_by(ca)


def test_half_a_ca_is_refused(bare: Tallymq, tmp_path: Path) -> None:
    assert bare("certs", "node1", "--out", str(tmp_path)).code == 0
    (tmp_path / "ca-key.pem").unlink()
    before = contents(tmp_path)
    refused = bare("certs", "node2", "--out", str(tmp_path))
    assert refused.code == 4
    assert "ca-key.pem is missing; nothing was written." in refused.err
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["ca", "../up", "a/b", "node-key", "-x", "", "ü"])
def test_a_name_that_makes_no_file_is_usage(bare: Tallymq, tmp_path: Path, name: str) -> None:
    assert bare("certs", "--out", str(tmp_path), "--", name).code == 2
    assert list(tmp_path.iterdir()) == []


def test_without_cryptography_one_sentence_says_what_is_missing(
    bare: Tallymq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tallymq.cli.authority", None)
    failed = bare("certs", "node1", "--out", str(tmp_path))
    assert failed.code == 1
    assert "needs the package cryptography" in failed.err
    assert "pip install 'tallymq[certs]'" in failed.err
    assert list(tmp_path.iterdir()) == []
