"""The client in a notebook: cells run one after the other by a real kernel, whose loop runs all the while."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from tests.sdk.test_transactions import received
from tests.support.nodes import Cluster

CELL_S = 300

BLOCKING = """
from tallymq import Tally
tally = Tally({url!r})
# next cell
receipt = tally.publish({topic!r}, 'from a cell')
receipt.queue
# next cell
import threading
seen, done = [], threading.Event()
@tally.consumer({topic!r}, group='notebook')
def handle(message):
    seen.append(message.text())
    done.set()
tally.start()
# next cell
assert done.wait(120)
print(seen[0])
# next cell
tally.close()
print('closed')
"""
AWAITING = """
from tallymq import AsyncTally
tally = AsyncTally({url!r})
# next cell
receipt = await tally.publish({topic!r}, 'from a cell')
receipt.queue
# next cell
import asyncio
seen, done = [], asyncio.Event()
@tally.consumer({topic!r}, group='notebook')
async def handle(message):
    seen.append(message.text())
    done.set()
await tally.start()
# next cell
await asyncio.wait_for(done.wait(), 120)
print(seen[0])
# next cell
await tally.close()
print('closed')
"""


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncKernelManager:
    """This Python's kernel, with its files in a folder of its own."""
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    manager = AsyncKernelManager()
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    # What is given here is used; no kernel has to be registered on this machine.
    manager._kernel_spec = KernelSpec(argv=command, display_name="tests", language="python", env=dict(os.environ))
    return manager


@pytest.mark.parametrize("cells", [BLOCKING, AWAITING], ids=["Tally", "AsyncTally"])
def test_it_works_cell_by_cell(cluster: Cluster, topic: str, kernel: AsyncKernelManager, cells: str) -> None:
    texts = cells.format(url=cluster.url, topic=topic).split("# next cell\n")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in texts])
    NotebookClient(book, km=kernel, timeout=CELL_S).execute()
    said = ["".join(output.get("text", "") for output in cell.outputs) for cell in book.cells]
    assert said == ["", "", "", "from a cell\n", "closed\n"]
    queue = book.cells[1].outputs[0].data["text/plain"]
    (message,) = received(cluster, topic, 1)
    assert (message.text(), str(message.queue)) == ("from a cell", queue)
