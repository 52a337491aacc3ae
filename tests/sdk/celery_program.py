"""A Celery worker whose client is made, and used, before the pool forks. Wants BANK_URL, BANK_TOPIC, BANK_DATABASE."""

import os
import sqlite3

from celery import Celery

from tallymq import Tally

TOPIC = os.environ["BANK_TOPIC"]
DATABASE = os.environ["BANK_DATABASE"]

app = Celery("celery_program")
app.config_from_object("celery_settings")

tally = Tally(os.environ["BANK_URL"], group="bank-a", checker=f"sqlite:///{DATABASE}")
tally.publish(TOPIC, {"by": os.getpid(), "what": "loaded"})


@app.task(name="publish")
def publish(what: str) -> int:
    """Publishes; answers which process did."""
    tally.publish(TOPIC, {"by": os.getpid(), "what": what})
    return os.getpid()


@app.task(name="transfer")
def transfer(what: str) -> int:
    """Takes 1 from the account and says so, both or neither; answers which process did."""
    connection = sqlite3.connect(DATABASE, timeout=60, isolation_level=None)
    try:
        with tally.transaction(connection) as tx:
            connection.execute("UPDATE account SET balance = balance - 1")
            tx.publish(TOPIC, {"by": os.getpid(), "what": what})
    finally:
        connection.close()
    return os.getpid()
