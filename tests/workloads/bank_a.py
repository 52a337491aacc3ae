"""The first bank, on PostgreSQL: takes money here and tells the second bank. No line of check code.

`python -m tests.workloads.bank_a URL DATABASE TRANSFERS WORKERS`; stays until its input ends.
"""

import logging
import queue
import sys
import threading
import time

import psycopg

from tallymq import Tally, TallyError

ACCOUNTS = 100
PAUSE_S = 0.1

log = logging.getLogger("bank-a")


def transfer(tally: Tally, bank: "psycopg.Connection[tuple[object, ...]]", number: int) -> None:
    """One transfer of 100 yuan: both or neither."""
    with tally.transaction(bank) as tx:
        bank.execute("INSERT INTO transfer (number) VALUES (%s)", (number,))
        bank.execute("UPDATE account SET balance = balance - 100 WHERE id = %s", (number % ACCOUNTS,))
        body = {"number": number, "to": number * 7 % ACCOUNTS, "amount": 100}
        tx.publish("transfers", body, key=str(body["to"]))


def work(tally: Tally, database: str, numbers: "queue.SimpleQueue[int]") -> None:
    """Makes transfers until there are none left. The database says which are made, whatever went wrong."""
    bank: psycopg.Connection[tuple[object, ...]] | None = None
    while True:
        try:
            number = numbers.get_nowait()
        except queue.Empty:
            return
        made = False
        while not made:
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
                time.sleep(PAUSE_S)


def left_to_do(database: str, transfers: int) -> "queue.SimpleQueue[int]":
    """The transfers that are not made yet. Waits for the database."""
    while True:
        try:
            with psycopg.connect(database) as bank:
                made = {row[0] for row in bank.execute("SELECT number FROM transfer").fetchall()}
        except psycopg.Error:
            time.sleep(PAUSE_S)
            continue
        numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(1, transfers + 1):
            if number not in made:
                numbers.put(number)
        return numbers


def main() -> None:
    """Makes all transfers, then answers checks until its input ends."""
    url, database, transfers, workers = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    numbers = left_to_do(database, int(transfers))
    with Tally(url, group="bank-a", checker=lambda: psycopg.connect(database), timeout_s=10.0) as tally:
        tally.start()
        threads = [threading.Thread(target=work, args=(tally, database, numbers)) for _ in range(int(workers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sys.stdin.read()


if __name__ == "__main__":
    main()
