"""Mutual TLS between nodes: both ends show a certificate of the cluster's own authority."""

from __future__ import annotations

import datetime as dt
import ssl
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from tallymq.raftlog.settings import SettingsRefused, TlsFiles


def accepting_context(files: TlsFiles) -> ssl.SSLContext:
    """For connections that come in. Raises SettingsRefused if a file cannot be used."""
    return _context(ssl.PROTOCOL_TLS_SERVER, files)


def dialling_context(files: TlsFiles) -> ssl.SSLContext:
    """For connections that go out. Raises SettingsRefused if a file cannot be used."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, files)


def check_own(files: TlsFiles, node: str) -> str:
    """Return what a person should know of this node's own certificate, "" if nothing.

    Raises SettingsRefused if a file cannot be used, or the certificate is another node's: its peers would refuse every
    connection. One that has expired is no reason not to start: this machine's clock may be the one that is wrong, and
    what is stored here can still be served to clients.
    """
    accepting_context(files)
    certificate, *chain = x509.load_pem_x509_certificates(files.certificate.read_bytes())
    names = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [node]:
        whose = f"node {names[0]!r}" if len(names) == 1 else "no single node"
        raise SettingsRefused(
            f"the peer certificate {files.certificate} is of {whose}, this node is {node!r}: "
            "give it the certificate and the key that were made for it"
        )
    now = dt.datetime.now(dt.UTC)
    if now > certificate.not_valid_after_utc:
        return f"expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC: its peers will refuse it"
    if now < certificate.not_valid_before_utc:
        return f"is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC: its peers will refuse it"
    try:
        issuers = [*chain, *x509.load_pem_x509_certificates(files.ca.read_bytes())]
    except ValueError:
        # OpenSSL knows more kinds of these files; it took this one, and it will judge.
        return ""
    if not any(_is_issued_by(certificate, issuer) for issuer in issuers):
        return f"was not issued by the authority {files.ca}: its peers will refuse it"
    return ""


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _context(protocol: int, files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    # The name that counts is the node's, compared with the hello by `common_name`: addresses may change.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        context.load_verify_locations(cafile=str(files.ca))
        context.load_cert_chain(str(files.certificate), str(files.key), password=_no_password)
    except (OSError, ssl.SSLError) as error:
        raise SettingsRefused(
            f"cannot use certificate {files.certificate} with key {files.key} and authority {files.ca}: {error}"
        ) from error
    return context


def _no_password() -> str:
    # Without this OpenSSL would ask on the terminal and the node would hang.
    return ""


def common_name(certificate: dict[str, Any] | None) -> str:
    """The one common name of a verified certificate as `getpeercert()` gives it; empty if there is none or several."""
    if not certificate:
        return ""
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return str(names[0]) if len(names) == 1 else ""


_SAID_BY_THE_OTHER_END = {
    "UNKNOWN_CA": "it does not accept this node's certificate: not of an authority it knows (compare both peer_ca)",
    "CERTIFICATE_UNKNOWN": "it does not accept this node's certificate",
    "BAD_CERTIFICATE": "it does not accept this node's certificate",
    "CERTIFICATE_EXPIRED": "it does not accept this node's certificate: expired, or a clock is wrong",
    "CERTIFICATE_REQUIRED": "it wants a certificate of this node",
    "HANDSHAKE_FAILURE": "it found no way of TLS that both ends know",
}
"""TLS alerts by the end of OpenSSL's names for them."""
_FOUND_HERE = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it shows no certificate",
    "HTTP_REQUEST": "it speaks HTTP, not TLS",
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
    "UNEXPECTED_EOF_WHILE_READING": "the other end closed it",
}


HUNG_UP = "it hung up: it may not accept this node's certificate or settings, its own log says why"
"""What is known where the other end refused this one: a hello is not answered, and the loops send no TLS alert."""


def why(error: BaseException) -> str:
    """Say for a person why a connection failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted here: {error.verify_message}"
    reason = getattr(error, "reason", None) or ""
    if isinstance(error, ssl.SSLError) and isinstance(reason, str):
        for end, sentence in _SAID_BY_THE_OTHER_END.items():
            if reason.endswith("ALERT_" + end):
                return sentence
        if reason in _FOUND_HERE:
            return _FOUND_HERE[reason]
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    return str(error) or type(error).__name__
