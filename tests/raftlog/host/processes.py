"""Nodes as processes of their own, to be killed."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.raftlog.host.program import LINE_BYTES_MAX
from tests.support.certificates import Authority
from tests.support.ports import free_ports

ROOT = Path(__file__).resolve().parents[3]


class Gone(Exception):
    """The node did not answer: what was asked may have happened."""


class Refused(Exception):
    """The node answered with an error; `definite` says that nothing happened."""

    def __init__(self, reply: dict[str, Any]) -> None:
        self.definite: bool = reply["definite"]
        super().__init__(f"{reply['error']}: {reply['text']}")


class Process:
    """One node and the conversation with it."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self.node: str = wanted["node"]
        self._wanted = wanted
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._ids = itertools.count()
        self._listening: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start the program and wait until it answers."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
        # -P keeps the room folders of the checkout from hiding anything; PYTHONPATH is for the tests alone.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.raftlog.host.program", json.dumps(self._wanted), env=environment, cwd="/"
        )
        async with asyncio.timeout(60):
            while True:
                assert self._process.returncode is None, f"{self.node} ended: {self._process.returncode}"
                try:
                    reader, self._writer = await asyncio.open_connection(
                        "127.0.0.1", self._wanted["control_port"], limit=LINE_BYTES_MAX
                    )
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                self._listening = asyncio.create_task(self._listen(reader))
                return

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                reply = json.loads(line)
                waiting = self._waiting.pop(reply["id"], None)
                if waiting is not None and not waiting.done():
                    if "result" in reply:
                        waiting.set_result(reply["result"])
                    else:
                        waiting.set_exception(Refused(reply))
        self._writer = None
        waiting_all, self._waiting = list(self._waiting.values()), {}
        for waiting in waiting_all:
            if not waiting.done():
                waiting.set_exception(Gone(self.node))

    async def ask(self, operation: str, shard: int, **more: Any) -> Any:
        """Ask the node; Refused or Gone if that did not work out."""
        if self._writer is None:
            raise Gone(self.node)
        number = next(self._ids)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._writer.write(json.dumps({"id": number, "operation": operation, "shard": shard, **more}).encode() + b"\n")
        async with asyncio.timeout(120):
            return await answer

    async def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """Ask it to end; return its exit status."""
        return await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(how)
        status = await process.wait()
        if self._listening is not None:
            await self._listening
        return status


@asynccontextmanager
async def processes(folder: Path, names: Sequence[str], **more: object) -> AsyncIterator[dict[str, Process]]:
    """Processes that are running, one for each name; what is left of them at the end is killed."""
    authority = Authority(folder / "certificates")
    ports = free_ports(2 * len(names))
    members = [(name, "127.0.0.1", port) for name, port in zip(names, ports, strict=False)] if len(names) > 1 else []
    nodes: dict[str, Process] = {}
    try:
        for place, name in enumerate(names):
            files = authority.issue(name)
            tls = [str(files.certificate), str(files.key), str(files.ca)] if members else None
            control = ports[len(names) + place]
            wanted = {"folder": str(folder), "node": name, "members": members, "tls": tls, "control_port": control}
            nodes[name] = Process({**wanted, **more})
        await asyncio.gather(*[node.start() for node in nodes.values()])
        yield nodes
    finally:
        await asyncio.gather(*[node.kill() for node in nodes.values()])
