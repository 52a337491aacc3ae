"""The first bank, on PostgreSQL: takes money here and tells the second bank. No line of check code.

`python -m tests.workloads.bank_a URL DATABASE WORKERS`. Each line of its input is a number: make all transfers up to
that one. Stays until its input ends.
"""

import logging
import queue
import sys
import threading

import psycopg

from tallymq import Tally, TallyError

ACCOUNTS = 100
PAUSE_S = 0.1
"""Before the database is asked again, when it was not there."""

log = logging.getLogger("bank-a")


def transfer(tally: Tally, bank: "psycopg.Connection[tuple[object, ...]]", number: int) -> None:
    """One transfer of 100 yuan: both or neither."""
    with tally.transaction(bank) as tx:
        bank.execute("INSERT INTO transfer (number) VALUES (%s)", (number,))
        bank.execute("UPDATE account SET balance = balance - 100 WHERE id = %s", (number % ACCOUNTS,))
        body = {"number": number, "to": number * 7 % ACCOUNTS, "amount": 100}
        tx.publish("transfers", body, key=str(body["to"]))


def work(tally: Tally, database: str, numbers: "queue.SimpleQueue[int]", ended: threading.Event) -> None:
    """Makes the transfers it is given, to the end. The database says which are made, whatever went wrong."""
    bank: psycopg.Connection[tuple[object, ...]] | None = None
    while not ended.is_set():
        number = numbers.get()
        made = False
        while not made and not ended.is_set():
            try:
                if bank is None:
                    bank = psycopg.connect(database, autocommit=True)
                found = bank.execute("SELECT 1 FROM transfer WHERE number = %s", (number,)).fetchone()
                if found is None:
                    transfer(tally, bank, number)
                made = True
            except (psycopg.Error, TallyError) as error:
                log.info("transfer %d: %s: %s", number, type(error).__name__, error)
                if bank is not None:
                    bank.close()
                    bank = None
                ended.wait(PAUSE_S)


def made_before(database: str) -> set[int] | None:
    """The transfers that are made already, or None while the database is down."""
    try:
        with psycopg.connect(database) as bank:
            return {int(str(row[0])) for row in bank.execute("SELECT number FROM transfer").fetchall()}
    except psycopg.Error as error:
        log.info("the database: %s: %s", type(error).__name__, error)
        return None


def main() -> None:
    """Makes the transfers it is told to, and answers checks, until its input ends."""
    url, database, workers = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    ended = threading.Event()
    while (made := made_before(database)) is None:
        ended.wait(PAUSE_S)
    numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
    with Tally(url, group="bank-a", checker=lambda: psycopg.connect(database), timeout_s=10.0) as tally:
        tally.start()
        for _ in range(int(workers)):
            threading.Thread(target=work, args=(tally, database, numbers, ended), daemon=True).start()
        told = 0
        for line in sys.stdin:
            for number in range(told + 1, int(line) + 1):
                if number not in made:
                    numbers.put(number)
            told = max(told, int(line))
        ended.set()


if __name__ == "__main__":
    main()
