"""A tiny node program for tests: a host with a control port that speaks lines of JSON. Killed as roughly as wanted."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tallymq.raftlog.errors import NotLeader, OutcomeUnknown, RaftLogError
from tallymq.raftlog.host import Host, ShardHandle
from tallymq.raftlog.settings import Member, TlsFiles
from tallymq.txn.outcomes import Refusal
from tests.raftlog.host.traffic import Ear, digest, ensure_queue, publish, settings_for, stored

LINE_BYTES_MAX = 64 << 20


def settings_from(wanted: dict[str, Any]) -> Any:
    """Settings from what the test passed as JSON."""
    tls = wanted.pop("tls")
    files = TlsFiles(*(Path(path) for path in tls)) if tls else None
    members = [Member(*member) for member in wanted.pop("members")]
    folder, node = Path(wanted.pop("folder")), wanted.pop("node")
    return settings_for(folder, node, members, files, **wanted)


class Control:
    """Answers one test."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._operations: dict[str, Callable[[ShardHandle, dict[str, Any]], Awaitable[Any]]] = {
            "status": self._status,
            "ensure": self._ensure,
            "publish": self._publish,
            "contents": self._contents,
            "forget": self._forget,
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each line in a task of its own, in whatever order they end."""
        tasks: set[asyncio.Task[None]] = set()
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                task = asyncio.create_task(self._answer(json.loads(line), writer))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    async def _answer(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        try:
            shard = self._host.shards[request["shard"]]
            reply = {"result": await self._operations[request["operation"]](shard, request)}
        except RaftLogError as error:
            definite = not isinstance(error, OutcomeUnknown)
            leader = error.leader if isinstance(error, NotLeader) else ""
            reply = {"error": type(error).__name__, "text": str(error), "definite": definite, "leader": leader}
        reply["id"] = request["id"]
        writer.write(json.dumps(reply).encode() + b"\n")

    async def _status(self, shard: ShardHandle, _request: dict[str, Any]) -> dict[str, Any]:
        return {
            "leader": shard.leader,
            "is_leader": shard.is_leader,
            "applied": shard.applied_index,
            "last": shard.last_index,
            "health": shard.health,
            "peers": sorted(self._host.connected_peers()),
            "rounds": self._host.rounds,
            "installed": self._host.snapshots.installed,
            "phase": self._host.snapshots.shards[shard.number].receiver.phase.value,
        }

    async def _ensure(self, shard: ShardHandle, _request: dict[str, Any]) -> str:
        await ensure_queue(shard)
        return "ok"

    async def _publish(self, shard: ShardHandle, request: dict[str, Any]) -> int:
        result = await publish(shard, request["number"], request.get("size", 0))
        if isinstance(result, Refusal):
            raise AssertionError(result)
        offset: int = result.batches[0].first_offset
        return offset

    async def _forget(self, shard: ShardHandle, _request: dict[str, Any]) -> int:
        """Let Raft forget all that this node has applied of the shard."""
        host = self._host
        await host._upkeep.flush()
        log = host._opened.log
        index = log.flushes.applied(shard.number)
        term = log.term_at(shard.number, index)
        assert term is not None
        if index > log.shard_state(shard.number).base_index:
            log.drop_prefix(shard.number, index, term, b"")
            host._members[shard.number].rebase()
            host.wake()
        return index

    async def _contents(self, shard: ShardHandle, _request: dict[str, Any]) -> dict[str, Any]:
        return {"digest": digest(shard), "stored": {str(k): v[:64].hex() for k, v in stored(shard).items()}}


async def main(wanted: dict[str, Any]) -> None:
    """Run until SIGTERM, or until the host gives up."""
    control_port = wanted.pop("control_port")
    ear = Ear()
    ended = asyncio.Event()
    ear.stopped = lambda reason: ended.set()  # type: ignore[method-assign]
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    host = await Host.start(settings_from(wanted), ear, "test")
    server = await asyncio.start_server(Control(host).serve, "127.0.0.1", control_port, limit=LINE_BYTES_MAX)
    await ended.wait()
    server.close()
    await host.stop()


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(json.loads(sys.argv[1])))
