"""Two nodes find each other over loopback; whoever is not a member, by certificate and by hello, is told nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tallymq.proto.hello_pb2 import Hello
from tallymq.raftlog.framing import HEADER, KIND_HELLO, KIND_MESSAGE
from tallymq.raftlog.links import UNGREETED_MAX
from tallymq.raftlog.links_hello import HELLO_BYTES_MAX
from tallymq.raftlog.settings import FRAME_BYTES_MAX, SettingsRefused, TlsFiles
from tests.raftlog.host.linked import Node, a_hello, client_context, members, running, settings_of, told
from tests.support.certificates import Authority
from tests.support.waiting import until


@asynccontextmanager
async def a_pair(authority: Authority, **more: object) -> AsyncIterator[tuple[Node, Node]]:
    both = members("n1", "n2")
    one = Node(settings_of("n1", both, authority.issue("n1"), **more))
    two = Node(settings_of("n2", both, authority.issue("n2"), **more))
    async with running(one, two):
        await until(lambda: one.links.connected and two.links.connected)
        yield one, two


async def test_two_nodes_exchange_messages_over_mutual_tls(authority: Authority) -> None:
    async with a_pair(authority) as (one, two):
        assert one.links.send("n2", 3, [b"head", bytes(300_000), b"tail"], urgent=False)
        assert two.links.send("n1", 65_535, [b"answer"], urgent=True)
        await until(lambda: two.ear.frames and one.ear.frames)
        assert two.ear.frames == [("n1", 3, b"head" + bytes(300_000) + b"tail")]
        assert one.ear.frames == [("n2", 65_535, b"answer")]
        assert one.ear.connections == ["+n2"]
        assert two.ear.connections == ["+n1"]


async def test_nodes_find_each_other_again_after_one_was_away(authority: Authority) -> None:
    both = members("n1", "n2")
    one = Node(settings_of("n1", both, authority.issue("n1")))
    two = Node(settings_of("n2", both, authority.issue("n2")))
    async with running(one):
        async with running(two):
            await until(lambda: one.links.connected)
        await until(lambda: not one.links.connected)
        assert not one.links.send("n2", 0, [b"x"], urgent=False)
        again = Node(settings_of("n2", both, authority.issue("n2")))
        async with running(again):
            await until(lambda: one.links.connected)
            assert one.links.send("n2", 0, [b"x"], urgent=False)
            await until(lambda: again.ear.frames)
        assert one.ear.connections[:3] == ["+n2", "-n2", "+n2"]


async def test_without_tls_only_when_told_so() -> None:
    both = members("n1", "n2")
    one, two = Node(settings_of("n1", both, None)), Node(settings_of("n2", both, None))
    async with running(one, two):
        await until(lambda: one.links.connected and two.links.connected)
        assert one.links.send("n2", 0, [b"plain"], urgent=False)
        await until(lambda: two.ear.frames)
        assert two.ear.frames == [("n1", 0, b"plain")]


@asynccontextmanager
async def a_victim(authority: Authority) -> AsyncIterator[Node]:
    """Node n2 with a living connection from n0, waiting for n1; afterwards everything must still work."""
    trio = members("n0", "n1", "n2")
    friend = Node(settings_of("n0", trio, authority.issue("n0")))
    victim = Node(settings_of("n2", trio, authority.issue("n2")))
    async with running(friend, victim):
        await until(lambda: victim.links.connected == {"n0"})
        yield victim
        assert victim.links.connected == {"n0"}
        assert victim.ear.connections == ["+n0"]
        assert victim.ear.frames == []
        assert friend.links.send("n2", 1, [b"still here"], urgent=False)
        await until(lambda: victim.ear.frames)
        assert victim.ear.frames == [("n0", 1, b"still here")]


WRONG_HELLOS = {
    "wrong_cluster": a_hello(cluster="others"),
    "wrong_shard_count": a_hello(shard_count=5),
    "wrong_version": a_hello(format_version=2),
    "not_a_member": a_hello(node="n9"),
    "itself": a_hello(node="n2"),
    "for_another": a_hello(to_node="n0"),
    "another_name_than_the_certificate": a_hello(node="n0"),
    "no_hello_first": HEADER.pack(4, KIND_MESSAGE, 0) + b"data",
    "unknown_kind": HEADER.pack(4, 200, 0) + b"data",
    "garbage_hello": HEADER.pack(4, KIND_HELLO, 0) + b"\xff\xff\xff\xff",
    "oversize_hello": HEADER.pack(HELLO_BYTES_MAX + 1, KIND_HELLO, 0),
    "pickle_of_the_stock_transport": b"\x00\x00\x00\x1d\x80\x02cposix\nsystem\nq\x00U\x04true\x85Rq\x01.",
}


@pytest.mark.parametrize("name", WRONG_HELLOS)
async def test_a_wrong_hello_closes_the_connection_without_an_answer(authority: Authority, name: str) -> None:
    async with a_victim(authority) as victim:
        context = client_context(authority.issue("n1"), authority.path)
        assert await told(victim.settings.listen_port, context, WRONG_HELLOS[name]) == b""
        await until(lambda: victim.links.refused_count >= 1)


async def test_a_right_hello_is_answered_so_that_the_refusals_mean_something(authority: Authority) -> None:
    trio = members("n0", "n1", "n2")
    node = Node(settings_of("n2", trio, authority.issue("n2")))
    async with running(node):
        context = client_context(authority.issue("n1"), authority.path)
        reader, writer = await asyncio.open_connection("127.0.0.1", node.settings.listen_port, ssl=context)
        writer.write(a_hello())
        length, kind, _ = HEADER.unpack(await reader.readexactly(HEADER.size))
        assert kind == KIND_HELLO
        assert Hello.FromString(await reader.readexactly(length)).node == "n2"
        # Once accepted, a second hello, an unknown kind or an oversize frame still ends it.
        writer.write(HEADER.pack(FRAME_BYTES_MAX + 1, KIND_MESSAGE, 0))
        assert await reader.read() == b""
        writer.close()
        await until(lambda: not node.links.connected)
        assert node.ear.frames == []


@pytest.mark.parametrize("who", ["no_certificate", "another_authority", "expired", "plain_text"])
async def test_without_a_good_certificate_no_byte_of_ours_is_said(
    authority: Authority, stranger: Authority, who: str
) -> None:
    files = {
        "no_certificate": None,
        "another_authority": stranger.issue("n1"),
        "expired": authority.issue("n1", "n1-expired", days=-1),
        "plain_text": None,
    }[who]
    async with a_victim(authority) as victim:
        context = None if who == "plain_text" else client_context(files, authority.path)
        answer = await told(victim.settings.listen_port, context, a_hello())
        # In plain text OpenSSL may answer with an alert of its own, 7 bytes; a hello of ours would be longer.
        assert len(answer) <= 7
        assert b"tests" not in answer
        # The handshake itself fails: our own code is never reached.
        assert victim.links.refused_count == 0


async def test_a_node_that_answers_under_another_name_is_not_used(authority: Authority) -> None:
    both = members("n1", "n2")
    one = Node(settings_of("n1", both, authority.issue("n1")))
    # It holds a good certificate of the cluster, but of another member, and says what is expected of it.
    there = replace(both[1], node="n3")
    false = Node(settings_of("n3", (both[0], there), authority.issue("n3")), node="n2")
    async with running(one, false):
        await until(lambda: one.links.refused_count >= 2)
        assert not one.links.connected


async def test_a_server_of_another_authority_learns_nothing(authority: Authority, stranger: Authority) -> None:
    both = members("n1", "n2")
    one = Node(settings_of("n1", both, authority.issue("n1")))
    false = Node(settings_of("n2", both, replace(stranger.issue("n2"), ca=authority.path)))
    async with running(one, false):
        await until(lambda: false.links.refused_count >= 1 or one.links.failed_dials >= 2)
        context = client_context(authority.issue("n1"), authority.path)
        assert await told(false.settings.listen_port, context, a_hello()) == b""
        assert not one.links.connected
        assert not false.links.connected


async def test_silence_is_noticed_and_a_new_connection_takes_the_place_of_the_old(authority: Authority) -> None:
    trio = members("n0", "n1", "n2")
    quick = {"peer_ping_ms": 50, "peer_idle_ms_max": 400}
    node = Node(settings_of("n2", trio, authority.issue("n2"), **quick))
    async with running(node):
        context = client_context(authority.issue("n1"), authority.path)
        ends = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", node.settings.listen_port, ssl=context)
            writer.write(a_hello())
            await reader.readexactly(HEADER.size)
            ends.append((reader, writer))
        await until(lambda: node.ear.connections[:3] == ["+n1", "-n1", "+n1"], str(node.ear.connections))
        # Nothing more is said by n1: the second one ends too, though nobody closed it.
        await until(lambda: not node.links.connected)
        assert node.ear.connections == ["+n1", "-n1", "+n1", "-n1"]
        for _, writer in ends:
            writer.close()


async def test_a_quiet_connection_is_kept_alive_by_pings(authority: Authority) -> None:
    async with a_pair(authority, peer_ping_ms=50, peer_idle_ms_max=3_000) as (one, two):
        connection = one.links._connections["n2"]
        heard = connection.received_at
        await until(lambda: connection.received_at > heard + 0.2)
        assert one.links.connected == {"n2"}
        assert two.links.connected == {"n1"}


async def test_who_never_says_hello_is_closed_and_their_number_is_bounded(authority: Authority) -> None:
    both = members("n1", "n2")
    node = Node(settings_of("n2", both, None, peer_hello_ms_max=60_000))
    async with running(node):
        opened = [
            await asyncio.open_connection("127.0.0.1", node.settings.listen_port) for _ in range(UNGREETED_MAX + 8)
        ]
        await until(lambda: node.links.refused_count >= 8)
        assert node.links.refused_count == 8
        # Those who came first have to go, so that a member still finds the door open.
        for reader, _ in opened[:8]:
            assert await reader.read() == b""
        reader, writer = await asyncio.open_connection("127.0.0.1", node.settings.listen_port)
        writer.write(a_hello())
        await reader.readexactly(HEADER.size)
        assert node.links.connected == {"n1"}
        assert node.links.refused_count == 9
        writer.close()
        for _, writer in opened:
            writer.close()
        await until(lambda: node.links.refused_count == UNGREETED_MAX + 8)
    impatient = Node(settings_of("n2", both, None, peer_hello_ms_max=50))
    async with running(impatient):
        assert await told(impatient.settings.listen_port, None, b"") == b""


async def test_what_a_stuck_peer_does_not_take_is_bounded(authority: Authority) -> None:
    trio = members("n0", "n1", "n2")
    node = Node(settings_of("n2", trio, None, peer_queue_bytes_max=FRAME_BYTES_MAX))
    async with running(node):
        reader, writer = await asyncio.open_connection("127.0.0.1", node.settings.listen_port)
        writer.write(a_hello())
        await until(lambda: node.links.connected)
        # The peer reads nothing from here on.
        sent = 0
        while node.links.send("n1", 0, [bytes(100_000)], urgent=False):
            sent += 100_000
            await asyncio.sleep(0)
            assert sent < 4 * FRAME_BYTES_MAX
        assert node.links.send("n1", 0, [b"a heartbeat"], urgent=True)
        writer.close()
        assert reader is not None


async def test_unusable_files_are_one_clear_sentence(tmp_path: Path, authority: Authority) -> None:
    files = authority.issue("n1")
    both = members("n1", "n2")
    unusable: list[Callable[[], TlsFiles]] = [
        lambda: replace(files, key=tmp_path / "missing.pem"),
        lambda: replace(files, key=authority.issue("n2").key),
        lambda: replace(files, ca=files.key),
    ]
    for make in unusable:
        with pytest.raises(SettingsRefused, match="cannot use certificate"):
            Node(settings_of("n1", both, make()))
