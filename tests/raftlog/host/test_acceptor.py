"""Connections that come in are taken one by one, bounded however many come at once, and let go without a trace."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tallymq.raftlog.links_acceptor import BACKLOG, HANDSHAKES_MAX, Acceptor
from tallymq.raftlog.tls import accepting_context
from tests.support.certificates import Authority
from tests.support.ports import free_port
from tests.support.waiting import until

CROWD = BACKLOG - 8


@pytest.fixture
def crowd() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def come(stack: ExitStack, port: int) -> list[socket.socket]:
    """A crowd that is there before the acceptor has a turn."""
    return [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(CROWD)]


class Greeter(asyncio.Protocol):
    """Says one byte, and counts itself."""

    def __init__(self, greeted: list[str]) -> None:
        self._greeted = greeted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._greeted.append("")
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"x")
        transport.close()


def without_tls(greeted: list[str], refused: list[str]) -> Acceptor:
    return Acceptor(lambda: Greeter(greeted), lambda address, _error: refused.append(address), None, 60.0)


async def test_handshakes_stay_bounded_when_more_than_that_come_at_once(authority: Authority, crowd: ExitStack) -> None:
    port, under_way = free_port(), list[int]()
    tls = accepting_context(authority.issue("n1"))
    made = Acceptor(asyncio.Protocol, lambda _address, _error: under_way.append(len(made._handshakes)), tls, 60.0)
    await made.start("127.0.0.1", port)
    come(crowd, port)
    await until(lambda: len(under_way) >= CROWD - HANDSHAKES_MAX)
    # One more while it ends.
    assert max(under_way) <= HANDSHAKES_MAX + 1
    made.close()
    await made.wait_closed()
    assert len(under_way) == CROWD


async def test_of_a_crowd_that_comes_at_once_and_needs_no_handshake_nobody_is_refused(crowd: ExitStack) -> None:
    port, greeted, refused = free_port(), list[str](), list[str]()
    made = without_tls(greeted, refused)
    await made.start("127.0.0.1", port)
    guests = come(crowd, port)
    await until(lambda: len(greeted) == CROWD)
    made.close()
    await made.wait_closed()
    assert [guest.recv(1) for guest in guests] == [b"x"] * CROWD
    assert refused == []


async def test_a_socket_that_is_given_the_listeners_number_is_watched_as_its_own() -> None:
    made, port = without_tls([], []), free_port()
    await made.start("127.0.0.1", port)
    await asyncio.sleep(0)
    number = made._listeners[0].fileno()
    made.close()
    near, far = socket.socketpair()
    assert number in (near.fileno(), far.fileno())
    watched, other = (near, far) if near.fileno() == number else (far, near)
    heard = asyncio.Event()
    asyncio.get_running_loop().add_reader(watched, heard.set)
    await made.wait_closed()
    other.send(b"x")
    async with asyncio.timeout(60):
        await heard.wait()
    asyncio.get_running_loop().remove_reader(watched)
    near.close()
    far.close()
