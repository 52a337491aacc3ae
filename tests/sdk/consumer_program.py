"""A consumer killed after its effect and before it acknowledges. Arguments: url, topic, database."""

import os
import signal
import sqlite3
import sys
from typing import Any

from tallymq import Message, Tally


class Mortal(sqlite3.Connection):
    """Ends the process right after the handler's COMMIT."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        cursor = super().execute(sql, *parameters)
        if sql == "COMMIT":
            os.kill(os.getpid(), signal.SIGKILL)
        return cursor


def main() -> None:
    url, topic, database = sys.argv[1:]
    tally = Tally(url, inbox=lambda: sqlite3.connect(database, factory=Mortal, isolation_level=None))

    @tally.consumer(topic, group="bank-b", lease_s=1)
    def credit(message: Message, db: sqlite3.Connection) -> None:
        db.execute("UPDATE account SET balance = balance + ?", (message.json()["amount"],))

    tally.run()


if __name__ == "__main__":
    main()
