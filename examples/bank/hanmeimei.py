"""Han Meimei's bank. Each transfer adds 100 yuan to her account, once, however often its message is delivered."""

import logging
import sys

import mortal

from tallymq import Message, Tally


def main() -> None:
    """`hanmeimei.py URL DATABASE DEATH`: credits transfers until its input ends."""
    url, database, death = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    mortal.choose_death(death)
    with Tally(url, inbox=lambda: mortal.connect(database)) as tally:

        @tally.consumer("transfers", group="bank-b", lease_s=3)
        def credit(message: Message, bank: mortal.MortalConnection) -> None:
            transfer = message.json()
            bank.transfer = transfer["number"]
            bank.execute(
                "UPDATE account SET balance = balance + ? WHERE owner = ?", (transfer["amount"], transfer["to"])
            )
            bank.execute("INSERT INTO receipt (number, message_id) VALUES (?, ?)", (transfer["number"], message.id))

        tally.start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
