"""A producer killed at a chosen point of its database's COMMIT, or not. Arguments: url, topic, database, point."""

import os
import signal
import sqlite3
import sys
from typing import Any

from tallymq import Tally


class Mortal(sqlite3.Connection):
    """Ends the process without a word, right before or right after COMMIT."""

    point = ""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "COMMIT" and self.point == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        cursor = super().execute(sql, *parameters)
        if sql == "COMMIT" and self.point == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return cursor


def main() -> None:
    url, topic, database, point = sys.argv[1:]
    tally = Tally(url, group="bank-a", checker=f"sqlite:///{database}")
    connection = sqlite3.connect(database, factory=Mortal, isolation_level=None)
    connection.point = point
    with tally.transaction(connection) as tx:
        connection.execute("UPDATE account SET balance = balance - 100")
        tx.publish(topic, {"amount": 100}, key="it")
    tally.close()


if __name__ == "__main__":
    main()
