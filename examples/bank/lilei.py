"""Li Lei's bank. For each transfer it takes 100 yuan from his account and tells Han Meimei's bank, both or neither.

There is no check code here: the marker row that the client writes into this database answers for it.
"""

import sqlite3
import sys
import time

import mortal

from tallymq import Tally, TallyError


def transfer(tally: Tally, bank: mortal.MortalConnection, number: int) -> None:
    """One transfer of 100 yuan."""
    bank.transfer = number
    with tally.transaction(bank) as tx:
        bank.execute("UPDATE account SET balance = balance - 100 WHERE owner = 'lilei'")
        bank.execute("INSERT INTO transfer (number) VALUES (?)", (number,))
        tx.publish("transfers", {"number": number, "to": "hanmeimei", "amount": 100}, key="hanmeimei")


def next_number(bank: mortal.MortalConnection) -> int:
    """What is to be done next. The database is the only truth: a transfer is in it or it did not happen."""
    row = bank.execute("SELECT coalesce(max(number), 0) + 1 FROM transfer").fetchone()
    return int(row[0])


def main() -> None:
    """`lilei.py URL DATABASE TRANSFERS DEATH`: makes the transfers, then waits for its input to end."""
    url, database, transfers, death = sys.argv[1:]
    mortal.choose_death(death)
    bank = mortal.connect(database)
    with Tally(url, group="bank-a", checker=lambda: sqlite3.connect(database), timeout_s=5.0) as tally:
        while (number := next_number(bank)) <= int(transfers):
            try:
                transfer(tally, bank, number)
            except TallyError as error:
                # Nothing to repair: whether it happened is in the database, and the check settles the message.
                print(f"transfer {number}: {type(error).__name__}", file=sys.stderr)
            time.sleep(0.01)
        sys.stdin.read()


if __name__ == "__main__":
    main()
