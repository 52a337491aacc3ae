"""The main job as a story: two banks, two databases, one node, and kill -9. `make demo`

Exits with 0 only if every yuan is where it belongs.
"""

import contextlib
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import grpc
from node import DemoNode, environment

from tallymq.proto import admin_pb2, admin_pb2_grpc

HERE = Path(__file__).resolve().parent
TRANSFERS = 120
START_YUAN = 20_000
DEADLINE_S = 50.0

LILEI_TABLES = """
CREATE TABLE account (owner TEXT PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE transfer (number INTEGER PRIMARY KEY);
INSERT INTO account VALUES ('lilei', 20000);
"""
HANMEIMEI_TABLES = """
CREATE TABLE account (owner TEXT PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE receipt (number INTEGER PRIMARY KEY, message_id TEXT NOT NULL);
INSERT INTO account VALUES ('hanmeimei', 0);
"""

BEGAN = time.monotonic()


def say(text: str) -> None:
    """One line of the story."""
    print(f"{time.monotonic() - BEGAN:5.1f} s  {text}", flush=True)


def ask(database: Path, sql: str) -> int:
    """One number out of a database."""
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
        return int(connection.execute(sql).fetchone()[0])


def wait(what: str, reached: Callable[[], bool]) -> None:
    """Waits until it is so. Raises TimeoutError when the demo has taken too long."""
    while not reached():
        if time.monotonic() - BEGAN > DEADLINE_S:
            raise TimeoutError(f"waited too long: {what}")
        time.sleep(0.02)


class Demo:
    """The two banks, the node between them, and what is done to them."""

    def __init__(self, folder: Path) -> None:
        self.lilei = folder / "lilei.db"
        self.hanmeimei = folder / "hanmeimei.db"
        self.node = DemoNode(folder / "node")
        self.programs: list[subprocess.Popen[bytes]] = []
        self.said = folder / "programs.txt"
        self.log = self.said.open("ab")

    def end(self) -> None:
        """Ends everything this demo has started."""
        for program in self.programs:
            if program.poll() is None:
                program.kill()
            program.wait()
        self.node.kill()
        self.log.close()

    def make_banks(self) -> None:
        """The banks' own tables, and those that `tallymq migrate` prints."""
        command = [sys.executable, "-m", "tallymq.cli", "migrate", "sqlite"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env=environment())
        for database, tables in ((self.lilei, LILEI_TABLES), (self.hanmeimei, HANMEIMEI_TABLES)):
            with contextlib.closing(sqlite3.connect(database)) as connection:
                connection.executescript(tables + printed.stdout)

    def make_topic(self) -> None:
        """Topics are made, not guessed."""
        command = ["--server", self.node.address, "topic", "create", "transfers", "--queues", "4"]
        subprocess.run(
            [sys.executable, "-m", "tallymq.cli", *command],
            check=True,
            capture_output=True,
            timeout=60,
            env=environment(),
        )

    def run_lilei(self, death: str = "") -> subprocess.Popen[bytes]:
        """Starts Li Lei's bank; `death` says when it is killed."""
        return self._run("lilei.py", str(self.lilei), str(TRANSFERS), death)

    def run_hanmeimei(self, death: str = "") -> subprocess.Popen[bytes]:
        """Starts Han Meimei's bank."""
        return self._run("hanmeimei.py", str(self.hanmeimei), death)

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(HERE / program), f"tally://{self.node.address}", *arguments]
        variables = {**environment(), "PYTHONPATH": str(HERE)}
        started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self.log, stderr=self.log, env=variables)
        self.programs.append(started)
        return started

    def wait_death(self, program: subprocess.Popen[bytes], what: str) -> None:
        """Waits until it was killed."""
        wait(what, lambda: program.poll() is not None)
        if program.returncode != -9:
            raise RuntimeError(f"{what}: it ended with {program.returncode} instead")

    def sent(self) -> int:
        """Transfers that Li Lei's bank has made."""
        return ask(self.lilei, "SELECT count(*) FROM transfer")

    def was_delivered_twice(self, number: int) -> bool:
        """True once the client said that it recognised this transfer's message as done before."""
        with contextlib.closing(sqlite3.connect(self.hanmeimei)) as connection:
            row = connection.execute("SELECT message_id FROM receipt WHERE number = ?", (number,)).fetchone()
        return row is not None and f"Message {row[0]} of transfers was done before" in self.said.read_text("utf-8")

    def received(self) -> int:
        """Transfers that Han Meimei's bank has credited."""
        return ask(self.hanmeimei, "SELECT count(*) FROM receipt")


def tell(demo: Demo) -> None:
    """The story up to the last transfer."""
    demo.make_banks()
    say(f"Two banks, two databases. Li Lei has {START_YUAN} yuan, Han Meimei has none.")
    say(f"A node is ready after {demo.node.start():.1f} s. {TRANSFERS} transfers of 100 yuan begin.")
    demo.make_topic()
    receiver = demo.run_hanmeimei("after:70")

    sender = demo.run_lilei("after:25")
    demo.wait_death(sender, "Li Lei's bank dies after the COMMIT of transfer 25")
    say("kill -9: Li Lei's bank, after its database committed transfer 25, before it could say so.")
    sender = demo.run_lilei("before:50")
    say("Li Lei's bank is back and goes on. It has no code for what was lost.")
    demo.wait_death(sender, "Li Lei's bank dies before the COMMIT of transfer 50")
    say("kill -9: Li Lei's bank, right before its database could commit transfer 50. Its half message is stored.")
    demo.run_lilei()
    say("Li Lei's bank is back, and does transfer 50 again from the start.")

    demo.wait_death(receiver, "Han Meimei's bank dies after the COMMIT of transfer 70")
    say("kill -9: Han Meimei's bank, after it credited transfer 70, before it could acknowledge.")
    demo.run_hanmeimei()
    say("Han Meimei's bank is back. Transfer 70 will be delivered to it a second time.")

    wait("transfer 90", lambda: demo.sent() >= 90)
    demo.node.kill()
    say("kill -9: the node.")
    say(f"The node is back after {demo.node.start():.1f} s, with all it had promised.")
    wait("all transfers made", lambda: demo.sent() == TRANSFERS)
    say("All transfers are made. Whatever is open is being asked about.")
    wait("all transfers credited", lambda: demo.received() == TRANSFERS)
    wait("the second delivery of transfer 70", lambda: demo.was_delivered_twice(70))
    say("Transfer 70 was delivered twice. The second time it was recognised, acknowledged and not run.")


def transactions(address: str) -> list[admin_pb2.Transaction]:
    """Every transaction the node knows."""
    found: list[admin_pb2.Transaction] = []
    after = b""
    with grpc.insecure_channel(address) as channel:
        admin = admin_pb2_grpc.AdminStub(channel)
        while True:
            request = admin_pb2.ListTransactionsRequest(limit=1000, after=after)
            reply = admin.ListTransactions(request, timeout=20)
            found += reply.transactions
            after = reply.next
            if not after:
                return found


def none_in_doubt(address: str) -> bool:
    """True once everything is decided."""
    return all(one.state != admin_pb2.TRANSACTION_STATE_IN_DOUBT for one in transactions(address))


def balances(lilei: Path, hanmeimei: Path) -> tuple[int, int]:
    """What Li Lei and Han Meimei have, in yuan."""
    return ask(lilei, "SELECT balance FROM account"), ask(hanmeimei, "SELECT balance FROM account")


def is_exact(lilei: Path, hanmeimei: Path) -> bool:
    """True if every yuan is where it belongs, and each transfer was made and credited once."""
    moved = 100 * TRANSFERS
    made, credited = ask(lilei, "SELECT count(*) FROM transfer"), ask(hanmeimei, "SELECT count(*) FROM receipt")
    return balances(lilei, hanmeimei) == (START_YUAN - moved, moved) and made == credited == TRANSFERS


def judge(demo: Demo) -> bool:
    """Who decided what, and where the money is. True if every yuan is where it belongs."""
    wait("nothing in doubt", lambda: none_in_doubt(demo.node.address))
    with contextlib.closing(sqlite3.connect(demo.hanmeimei)) as connection:
        numbers = {message: number for number, message in connection.execute("SELECT number, message_id FROM receipt")}
    counts: dict[tuple[str, str], int] = {}
    print()
    for one in transactions(demo.node.address):
        state = "committed" if one.state == admin_pb2.TRANSACTION_STATE_COMMITTED else "rolled back"
        counts[state, one.decided_by] = counts.get((state, one.decided_by), 0) + 1
        if one.decided_by != "call":
            which = numbers.get(one.transaction_id.hex())
            name = f"transfer {which}" if which else "a transfer that never was"
            print(f"  {one.transaction_id.hex()}  {state} by {one.decided_by}: {name}")
    for (state, by), count in sorted(counts.items()):
        print(f"  {count:4} {state} by {by}")
    lilei, hanmeimei = balances(demo.lilei, demo.hanmeimei)
    print(f"\n  Li Lei has {lilei} yuan, Han Meimei has {hanmeimei}, together {lilei + hanmeimei}.")
    checked = sum(count for (_, by), count in counts.items() if by == "check")
    good = is_exact(demo.lilei, demo.hanmeimei) and checked >= 2
    print("  Every yuan is where it belongs.\n" if good else "  THIS IS WRONG.\n")
    return good


def main() -> int:
    """Exit code 1 where a yuan is missing."""
    with tempfile.TemporaryDirectory(prefix="tallymq-demo-") as folder:
        demo = Demo(Path(folder))
        try:
            tell(demo)
            good = judge(demo)
        except (TimeoutError, RuntimeError) as error:
            print(f"{error}\n{demo.said.read_text(encoding='utf-8', errors='replace')}")
            return 1
        finally:
            demo.end()
        say("done.")
        return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
