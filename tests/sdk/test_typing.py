"""A user's program, as the README and the docstrings have it, passes mypy --strict; one that is wrong does not."""

import subprocess
import sys
from pathlib import Path

import tallymq

# mypy begins without a cache and reads SQLAlchemy too: half a minute, and minutes where the machine has more to do.
PATIENCE_S = 1_200

GOOD = """
import sqlite3

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from tallymq import AsyncTally, Decision, HalfMessage, Message, Receipt, Retry, Tally, Tls

tally = Tally("tally://localhost:7070", group="bank-a", checker="sqlite:///bank.db", tls=Tls("ca.pem"))
maker = sessionmaker()
tally.bind(maker)
with maker.begin() as session:
    tally.publish(session, "transfers", {"to": "hanmeimei", "amount": 100}, key="hanmeimei")
receipt: Receipt = tally.publish("transfers", b"body", tag="t", timeout_s=5.0)
with tally.transaction(sqlite3.connect("bank.db")) as tx:
    tx.publish("transfers", {"amount": 100}, key="it", headers={"a": b"b"})
    ids: list[str] = tx.message_ids
half = tally.prepare("transfers", "text")
half.commit(timeout_s=1.0)


@tally.consumer("transfers", group="bank-b", ordered="key", retry=Retry(16, "1s..5m"), inbox="sqlite:///b.db")
def credit(message: Message, db: sqlite3.Connection) -> None:
    db.execute("UPDATE account SET balance = balance + ?", (message.json()["amount"],))


@tally.check("transfers")
def check(asked: HalfMessage) -> Decision:
    return Decision.COMMIT if asked.key else Decision.UNKNOWN


async def main() -> None:
    async with AsyncTally("tally://localhost:7070", group="bank-a", checker=lambda: None) as other:
        stored: Receipt = await other.publish("transfers", [1, None], priority=3)
        print(stored.offset)
        sessions: async_sessionmaker[AsyncSession] = async_sessionmaker()
        other.bind(sessions)
        async with sessions.begin() as session, other.transaction(session) as tx:
            await other.publish(session, "transfers", "x")
            tx.publish("transfers", "y")
        by_hand = await other.prepare("transfers", b"")
        await by_hand.rollback()

        @other.consumer("transfers", group="g")
        async def handle(message: Message) -> None:
            print(message.text(), message.visible_time)


tally.run()
"""
BAD = """
from tallymq import Tally

tally = Tally(groop="bank")
tally.publish("t", object())
tally.publish("t", b"", kee="k")
tally.prepare("t", b"").commit(5)
"""


def test_the_api_type_checks_strictly_and_tells_mistakes(tmp_path: Path) -> None:
    home = Path(tallymq.__file__).parent
    # mypy does not follow every kind of editable installation; it follows links.
    farm = tmp_path / "tallymq"
    farm.mkdir()
    for each in home.iterdir():
        if each.suffix != ".pyc" and each.name != "__pycache__":
            (farm / each.name).symlink_to(each)
    if not (farm / "proto").exists():
        (farm / "proto").symlink_to(home.parent / "proto")
    (tmp_path / "good.py").write_text(GOOD, encoding="utf-8")
    (tmp_path / "bad.py").write_text(BAD, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent"]
    command += ["--cache-dir", str(tmp_path / "cache"), "good.py", "bad.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    wrong = {line.partition(": ")[0] for line in ran.stdout.splitlines() if ": error:" in line}
    # What the generated stubs lack is no business of a user's program.
    ours = {place for place in wrong if place.startswith(("good.py", "bad.py"))}
    assert ours == {"bad.py:4", "bad.py:5", "bad.py:6", "bad.py:7"}, ran.stdout + ran.stderr
