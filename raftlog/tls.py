"""Mutual TLS between nodes: both ends show a certificate of the cluster's own authority."""

from __future__ import annotations

import ssl
from typing import Any

from tallymq.raftlog.settings import SettingsRefused, TlsFiles


def accepting_context(files: TlsFiles) -> ssl.SSLContext:
    """For connections that come in. Raises SettingsRefused if a file cannot be used."""
    return _context(ssl.PROTOCOL_TLS_SERVER, files)


def dialling_context(files: TlsFiles) -> ssl.SSLContext:
    """For connections that go out. Raises SettingsRefused if a file cannot be used."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, files)


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
