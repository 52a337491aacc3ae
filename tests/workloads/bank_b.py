"""The second bank, on MariaDB: credits each transfer once, however often its message comes.

`python -m tests.workloads.bank_b URL PORT`; stays until its input ends.
"""

import logging
import sys

import pymysql

from tallymq import Message, Retry, Tally


def connect(port: int) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    """A connection to this bank's database."""
    return pymysql.connect(host="127.0.0.1", port=port, user="root", database="bank", connect_timeout=5)


def main() -> None:
    """Credits transfers until its input ends."""
    url, port = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    with Tally(url, inbox=lambda: connect(int(port))) as tally:
        # A dead database must not use up the attempts: it comes back.
        @tally.consumer("transfers", group="bank-b", lease_s=10, retry=Retry(1000, "100ms..2s"))
        def credit(message: Message, bank: "pymysql.Connection[pymysql.cursors.Cursor]") -> None:
            transfer = message.json()
            with bank.cursor() as cursor:
                cursor.execute(
                    "UPDATE account SET balance = balance + %s WHERE id = %s", (transfer["amount"], transfer["to"])
                )
                cursor.execute(
                    "INSERT INTO receipt (number, message_id) VALUES (%s, %s)", (transfer["number"], message.id)
                )

        tally.start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
