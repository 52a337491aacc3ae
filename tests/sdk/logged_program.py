"""Uses every part of the client, failing ones too, and prints the logger of all that was said by it.

Arguments: url, topic, database.
"""

import asyncio
import contextlib
import logging
import sqlite3
import sys
import threading
from pathlib import Path

import tallymq
from tallymq import AsyncTally, Message, Retry, Tally, TallyError

HOME = str(Path(tallymq.__file__).resolve().parent)
BELOW = ("grpclib", "h2", "hpack")
"""What the client stands on may have something to say to those who debug it, no more."""


class Names(logging.Handler):
    """Notes the logger of each record that this client, or what it stands on, has made."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        ours = str(Path(record.pathname).resolve()).startswith(HOME)
        if ours or (record.levelno > logging.DEBUG and record.name.partition(".")[0] in BELOW):
            self.names.append(record.name)


def blocking(url: str, topic: str, database: str) -> None:
    done = threading.Event()
    with Tally(url, group="logged", checker=lambda: sqlite3.connect(database), shutdown_timeout_s=0.2) as tally:

        @tally.consumer(topic, group="logged", retry=Retry(3, "10ms"), lease_s=1)
        def handle(message: Message) -> None:
            if message.attempt == 1:
                raise LookupError
            done.set()
            # Outlasts the client.
            threading.Event().wait()

        tally.publish(topic, b"")
        tally.start()
        connection = sqlite3.connect(database, isolation_level=None)
        with tally.transaction(connection) as tx:
            tx.publish(topic, b"")
        connection.close()
        assert done.wait(120)


async def awaiting(url: str, topic: str) -> None:
    async with AsyncTally(url, group="logged") as tally:
        half = await tally.prepare(topic, b"")
        await half.rollback()


def failing(topic: str) -> None:
    with Tally("tally://127.0.0.1:1", timeout_s=0.3) as tally, contextlib.suppress(TallyError):
        tally.publish(topic, b"")


def handlers() -> str:
    return f"handlers of the root: {len(logging.getLogger().handlers)}"


def main() -> None:
    url, topic, database = sys.argv[1:]
    names = Names()
    logging.basicConfig(level=logging.DEBUG, handlers=[names])
    said = [handlers()]
    blocking(url, topic, database)
    asyncio.run(awaiting(url, topic))
    failing(topic)
    print("\n".join([*said, *sorted(set(names.names)), handlers()]))


if __name__ == "__main__":
    main()
