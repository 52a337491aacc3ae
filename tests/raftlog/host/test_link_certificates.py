"""Who is not welcome holds neither the port nor memory, and the log says once why."""

import asyncio
from dataclasses import replace

import pytest

from tallymq.raftlog.framing import HEADER
from tallymq.raftlog.links_acceptor import HANDSHAKES_MAX
from tallymq.raftlog.settings import SettingsRefused
from tallymq.raftlog.tls import check_own
from tests.raftlog.host.linked import Node, a_hello, client_context, members, running, settings_of, told
from tests.support.certificates import Authority
from tests.support.waiting import until


async def test_unfinished_handshakes_are_bounded_in_number_and_in_time(authority: Authority) -> None:
    both = members("n1", "n2")
    node = Node(settings_of("n2", both, authority.issue("n2"), peer_hello_ms_max=60_000))
    async with running(node):
        port = node.settings.listen_port
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(HANDSHAKES_MAX + 8)]
        await until(lambda: node.links.handshakes_failed >= 8)
        assert node.links.handshakes_failed == 8
        for reader, _ in opened[:8]:
            assert await reader.read() == b""
        # The port is still open to whoever comes with a certificate.
        context = client_context(authority.issue("n1"), authority.path)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(a_hello())
        await reader.readexactly(HEADER.size)
        assert node.links.connected == {"n1"}
        for _, each in [*opened, (reader, writer)]:
            each.close()
    impatient = Node(settings_of("n2", both, authority.issue("n2"), peer_hello_ms_max=50))
    async with running(impatient):
        assert await told(impatient.settings.listen_port, None, b"") == b""
        await until(lambda: impatient.links.handshakes_failed == 1)


async def test_a_flood_from_one_host_puts_out_nobody_elses_handshake(authority: Authority) -> None:
    node = Node(settings_of("n2", members("n1", "n2"), authority.issue("n2"), peer_hello_ms_max=60_000))
    async with running(node):
        port = node.settings.listen_port
        slow, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        flood = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2 * HANDSHAKES_MAX)]
        await until(lambda: node.links.handshakes_failed > HANDSHAKES_MAX)
        await writer.start_tls(client_context(authority.issue("n1"), authority.path))
        writer.write(a_hello())
        await slow.readexactly(HEADER.size)
        assert node.links.connected == {"n1"}
        for _, each in [*flood, (slow, writer)]:
            each.close()


async def test_the_log_says_once_why_a_member_is_refused(
    authority: Authority, stranger: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    both = members("n1", "n2")
    one = Node(settings_of("n1", both, authority.issue("n1")))
    two = Node(settings_of("n2", both, stranger.issue("n2")))
    async with running(one, two):
        await until(lambda: one.links.failed_dials >= 4 and two.links.handshakes_failed >= 4)
    warnings = [(record.name, record.getMessage()) for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 2, warnings
    dialler = next(text for _, text in warnings if text.startswith("no connection with node n2"))
    assert "its certificate is not accepted here" in dialler
    accepter = next(text for _, text in warnings if "before it was accepted" in text)
    assert "may not accept this node's certificate" in accepter


async def test_a_certificate_that_is_refused_after_the_handshake_is_named_too(
    authority: Authority, stranger: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    both = members("n1", "n2")
    # It trusts the others, but they do not trust it: in TLS 1.3 it learns so only after its own handshake is done.
    one = Node(settings_of("n1", both, replace(stranger.issue("n1"), ca=authority.path)))
    two = Node(settings_of("n2", both, authority.issue("n2")))
    async with running(one, two):
        await until(lambda: "may not accept this node's certificate" in caplog.text)
        await until(lambda: "its certificate is not accepted here" in caplog.text)
        assert not one.links.connected


def test_an_expired_certificate_is_told_and_another_nodes_is_refused(authority: Authority, stranger: Authority) -> None:
    assert check_own(authority.issue("n1"), "n1") == ""
    assert "expired at" in check_own(authority.issue("n1", "n1-old", days=-1), "n1")
    assert "was not issued by" in check_own(replace(stranger.issue("n1"), ca=authority.path), "n1")
    with pytest.raises(SettingsRefused, match="is of node 'n2', this node is 'n1'"):
        check_own(authority.issue("n2"), "n1")


def test_an_authority_in_a_form_that_only_openssl_reads_keeps_no_node_from_starting(authority: Authority) -> None:
    files = authority.issue("n1")
    trusted = files.ca.with_name("trusted.pem")
    trusted.write_bytes(files.ca.read_bytes().replace(b" CERTIFICATE-", b" TRUSTED CERTIFICATE-"))
    assert check_own(replace(files, ca=trusted), "n1") == ""
