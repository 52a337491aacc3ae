"""Work that goes on by itself is done again after it failed, and a stream's tasks end with the stream."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from tallymq.service import alarm as alarm_module
from tallymq.service.alarm import Alarm
from tallymq.service.calls import Draining
from tallymq.service.errors import Refused
from tallymq.service.tasks import Tasks
from tests.support.waiting import until


async def test_work_that_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm_module, "RETRY_MS", 1)
    alarm = Alarm(lambda: 0)
    errors: list[Exception] = [Refused("OVERLOADED"), ValueError("a bug")]
    done = asyncio.Event()

    async def work() -> None:
        if errors:
            raise errors.pop(0)
        done.set()

    with structlog.testing.capture_logs() as logs, Tasks() as tasks:
        tasks.start(alarm.serve(work, structlog.get_logger("tests").bind(work="tests", shard=3)))
        async with asyncio.timeout(60):
            await done.wait()
    assert [(line["event"], line["log_level"], line["shard"]) for line in logs] == [
        ("waits", "info", 3),
        ("failed", "error", 3),
    ]
    alarm.close()


async def test_tasks_end_with_their_owner_and_their_errors_are_told() -> None:
    told: list[BaseException] = []

    async def fails() -> None:
        raise ValueError("a bug")

    with Tasks(told.append) as tasks:
        waiting = tasks.start(asyncio.Event().wait())
        tasks.start(fails())
        await until(lambda: told)
    await until(waiting.cancelled)
    assert [str(error) for error in told] == ["a bug"]


async def test_what_comes_first_of_an_end_a_drain_and_the_time_is_told() -> None:
    draining, ended = Draining(), asyncio.get_running_loop().create_future()
    with Tasks() as tasks:
        assert await tasks.until_first(draining, ended, timeout_s=0.001)
        draining.begun.set()
        assert await tasks.until_first(draining, ended)
        ended.set_exception(Refused("SHUTTING_DOWN"))
        with pytest.raises(Refused):
            await tasks.until_first(draining, ended)
