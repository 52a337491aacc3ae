"""A development CA in a directory. Needs the package cryptography; only `certs.py` imports this."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tallymq.cli.exits import Exit
from tallymq.cli.failure import Failure

CA_DAYS = 3650
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_BOTH_ENDS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
CLOCK_SLACK = timedelta(hours=1)
"""Certificates are valid from a little before now, for machines whose clock is a little behind."""


class Authority:
    """The CA of one directory: ca.pem and ca-key.pem."""

    def __init__(self, directory: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.directory = directory
        self.certificate = certificate
        self.key = key
        self.is_new = False
        self.certificate_path = directory / "ca.pem"
        self.key_path = directory / "ca-key.pem"

    @classmethod
    def open(cls, directory: Path) -> Authority:
        """Use the CA that is in the directory, or make one. Raises Failure where half of one is there, and OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        certificate_path, key_path = directory / "ca.pem", directory / "ca-key.pem"
        if certificate_path.exists() != key_path.exists():
            missing = key_path if certificate_path.exists() else certificate_path
            raise Failure(
                Exit.REFUSED,
                f"There is half a CA in {directory}: {missing.name} is missing; nothing was written.",
                hint="Bring the missing file back, or choose another --out.",
                definite=True,
            )
        return cls._load(directory) if certificate_path.exists() else cls._make(directory)

    @classmethod
    def _load(cls, directory: Path) -> Authority:
        try:
            certificate = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
            key = serialization.load_pem_private_key((directory / "ca-key.pem").read_bytes(), password=None)
        except (ValueError, TypeError) as error:
            raise Failure(
                Exit.REFUSED,
                f"The CA in {directory} cannot be read: {error}.",
                hint="Choose another --out.",
                definite=True,
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise Failure(
                Exit.REFUSED,
                f"ca.pem and ca-key.pem in {directory} are not a CA made by `tallymq certs`.",
                hint="Choose another --out.",
                definite=True,
            )
        return cls(directory, certificate, key)

    @classmethod
    def _make(cls, directory: Path) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        # Two CAs of one name would be confused by whoever trusts both.
        subject = _name(f"TallyMQ development CA {secrets.token_hex(4)}")
        identity = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            _builder(subject, subject, key.public_key(), CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(identity, critical=False)
            .sign(key, hashes.SHA256())
        )
        authority = cls(directory, certificate, key)
        authority.is_new = True
        _write_key(authority.key_path, key)
        _write(authority.certificate_path, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
        return authority

    def issue(self, name: str, hosts: Sequence[str], days: int) -> tuple[str, Path, Path]:
        """Write NAME.pem and NAME-key.pem; return the name and both paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_name(name), self.certificate.subject, key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(_BOTH_ENDS, critical=False)
            .add_extension(_alternative_names((name, *LOCAL_HOSTS, *hosts)), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        certificate_path, key_path = self.directory / f"{name}.pem", self.directory / f"{name}-key.pem"
        _write_key(key_path, key)
        _write(certificate_path, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
        return name, certificate_path, key_path


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + timedelta(days=days))
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(hosts: Sequence[str]) -> x509.SubjectAlternativeName:
    names: dict[x509.GeneralName, None] = {}
    for host in hosts:
        try:
            names[x509.IPAddress(ipaddress.ip_address(host))] = None
        except ValueError:
            names[x509.DNSName(host)] = None
    return x509.SubjectAlternativeName(list(names))


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    content = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(path, content, mode=0o600)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Put a file in place whole, with its mode from the first byte on: a key must not be readable for an instant."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
