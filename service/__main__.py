"""The server program: `tallymqd`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog

from tallymq.raftlog.errors import RaftLogError
from tallymq.raftlog.settings import SettingsRefused
from tallymq.service import logs
from tallymq.service.config import SettingsError, load
from tallymq.service.node import Node, StartFailedError
from tallymq.service.settings import ServerSettings

OK, FAILURE, USAGE = 0, 1, 2
OPTION_KEYS = ("node", "data", "listen", "listen_peers", "listen_metrics", "insecure")

log = structlog.get_logger("tallymq.service")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a node until it is told to stop; return the exit code: 0 stopped, 1 failed, 2 wrong settings."""
    try:
        settings = read_settings(arguments)
    except SettingsError as error:
        _complain(str(error))
        return USAGE
    logs.set_up(settings.log_level)
    try:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run(settings))
    except ImportError:
        return asyncio.run(run(settings))


def read_settings(arguments: Sequence[str] | None) -> ServerSettings:
    """Return the settings of file, environment and command line; raises SettingsError."""
    parser = argparse.ArgumentParser(
        prog="tallymqd",
        description="Runs one TallyMQ node. Without arguments: a single node on loopback, data in ./tallymq-data.",
        epilog="example: tallymqd --data /var/lib/tallymq --listen 127.0.0.1:7070",
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings; see docs/configuration.md")
    parser.add_argument("--node", metavar="NAME", help="name of this node")
    parser.add_argument("--data", metavar="DIRECTORY", help="where this node keeps everything")
    parser.add_argument("--listen", metavar="HOST:PORT", help="where clients connect (127.0.0.1:7070)")
    parser.add_argument("--listen-peers", metavar="HOST:PORT", help="where other nodes connect (127.0.0.1:7071)")
    parser.add_argument("--listen-metrics", metavar="HOST:PORT", help="metrics and health (127.0.0.1:7072)")
    parser.add_argument("--insecure", action="store_const", const="true", help="allow no TLS beyond loopback")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting")
    parser.add_argument("--version", action="version", version=f"tallymqd {version('tallymq')}")
    given = parser.parse_args(arguments)
    options = {key: value for key in OPTION_KEYS if (value := getattr(given, key)) is not None}
    for text in given.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"option --set {text}: use --set KEY=VALUE")
        options[key] = value
    config = given.config or os.environ.get("TALLYMQ_CONFIG")
    return load(Path(config) if config else None, os.environ, options)


async def run(settings: ServerSettings) -> int:
    """Serve until a signal or a failure; return the exit code."""
    stop = asyncio.Event()
    _handle_signals(stop)
    node = Node(settings)
    try:
        await node.start()
    except (StartFailedError, SettingsRefused, RaftLogError, OSError) as error:
        _complain(str(error))
        return FAILURE
    sys.stdout.write(ready_line(node))
    sys.stdout.flush()
    log.info("ready", node=settings.node, cluster=settings.cluster, listen=str(node.address))
    stopping = asyncio.ensure_future(stop.wait())
    waits: set[asyncio.Future[Any]] = {stopping, node.failed}
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    if node.failed.done():
        _complain(f"the node stopped: {node.failed.result()}")
        await node.stop(grace_s=0)
        return FAILURE
    log.info("stopping", node=settings.node, drain_ms_max=settings.drain_ms_max)
    await node.stop()
    log.info("stopped", node=settings.node)
    return OK


def ready_line(node: Node) -> str:
    """Return the one line for people: that it is ready, and what to type next."""
    default = str(node.address) == "127.0.0.1:7070"
    where = "" if default else f" --server {node.address}"
    return f"TallyMQ {node.settings.node} is ready on {node.address}. Type next: tallymq{where} topic create hello\n"


def _handle_signals(stop: asyncio.Event) -> None:
    def told(number: signal.Signals) -> None:
        if stop.is_set():
            # The second time somebody means it: at once, what is acknowledged is on the disk anyway.
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told, number)


def _complain(sentence: str) -> None:
    sys.stderr.write(f"tallymqd: {sentence}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
