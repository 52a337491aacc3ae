"""Nodes for tests of the service."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service.running import Running, running


@pytest.fixture
async def instant(tmp_path: Path) -> AsyncIterator[Running]:
    """A node over the instant host."""
    async with running(tmp_path, instant=True) as node:
        yield node


@pytest.fixture(params=["instant host", "real host"])
async def node(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Running]:
    """A node over the instant host, then one over the real one."""
    async with running(tmp_path, instant=request.param == "instant host") as running_node:
        yield running_node


@pytest.fixture
async def instant_small(tmp_path: Path) -> AsyncIterator[Running]:
    """A node over the instant host that takes four frames at a time on a stream."""
    async with running(tmp_path, instant=True, produce_frames_max="4") as node:
        yield node


@pytest.fixture
async def instant_hasty(tmp_path: Path) -> AsyncIterator[Running]:
    """A node over the instant host that asks others at once, and a producer two things at a time."""
    async with running(tmp_path, instant=True, orphan_after_ms="0", checks_per_session="2") as node:
        yield node
