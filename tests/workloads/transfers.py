"""Transfers between PostgreSQL and MariaDB over three nodes, while every part is killed with kill -9 again and again.

`make demo-cluster`, or `make demo-cluster LONG=1` for 20,000 transfers and more than 100 kills.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import grpc
import psycopg
import pymysql

from tallymq.databases.schema import statements
from tallymq.proto import admin_pb2, admin_pb2_grpc
from tests.support.nodes import Cluster
from tests.support.servers import MariaDb, Postgres
from tests.support.waiting import wait_for
from tests.workloads.bank_a import ACCOUNTS

PARTS = ("producer", "consumer", "leader", "follower", "PostgreSQL", "MariaDB")
START_YUAN = 1_000_000
WORKERS = 32
IN_FLIGHT_MIN = 20
PROGRESS_S = 300.0
# A hurried cluster: the run is full of deaths, and none is to be waited for long.
SETTINGS = {"check_after_ms": 2000, "orphan_after_ms": 1000, "free_bytes_min": 67_108_864}


@dataclass
class Outcome:
    """What is true after a run."""

    transfers: int
    left: int
    arrived: int
    receipts: int
    distinct: int
    decided: Counter[str]
    kills: Counter[str] = field(default_factory=Counter)
    in_flight_min: int = 0
    settled_s: float = 0.0

    @property
    def is_exact(self) -> bool:
        """Every yuan where it belongs, each transfer applied once."""
        moved = 100 * self.transfers
        once = self.receipts == self.distinct == self.transfers
        return once and self.left == ACCOUNTS * START_YUAN - moved and self.arrived == ACCOUNTS * START_YUAN + moved


class Bank:
    """The two banks, the cluster between them, and what is done to them."""

    def __init__(self, cluster: Cluster, postgres: Postgres, mariadb: MariaDb, transfers: int, log: IO[bytes]) -> None:
        self.cluster = cluster
        self.postgres = postgres
        self.mariadb = mariadb
        self.transfers = transfers
        self.allowed = 0
        self.kills: Counter[str] = Counter()
        self.in_flight_min = sys.maxsize
        self.last_fault = time.monotonic()
        self._log = log
        self._producer: subprocess.Popen[bytes] | None = None
        self._consumer: subprocess.Popen[bytes] | None = None

    def set_up(self) -> None:
        """Tables, the topic, and both programs."""
        with self.postgres.connect() as bank:
            for sql in statements("postgresql"):
                bank.execute(sql.encode())
            bank.execute("CREATE TABLE account (id integer PRIMARY KEY, balance bigint NOT NULL)")
            bank.execute("CREATE TABLE transfer (number integer PRIMARY KEY)")
            rows = f"SELECT id, {START_YUAN} FROM generate_series(0, {ACCOUNTS - 1}) AS id"
            bank.execute(f"INSERT INTO account {rows}".encode())
        with self.mariadb.connect() as other, other.cursor() as cursor:
            for sql in statements("mysql"):
                cursor.execute(sql)
            cursor.execute("CREATE TABLE account (id integer PRIMARY KEY, balance bigint NOT NULL)")
            # Nothing here forbids a second credit: it would show.
            cursor.execute(
                "CREATE TABLE receipt (id integer PRIMARY KEY AUTO_INCREMENT, number integer, message_id text)"
            )
            cursor.executemany("INSERT INTO account VALUES (%s, %s)", [(id_, START_YUAN) for id_ in range(ACCOUNTS)])
        self.cluster.create_topic("transfers", 8)
        self.start_producer()
        self.start_consumer()

    def start_producer(self) -> None:
        """Starts the first bank's program."""
        self._producer = self._start("tests.workloads.bank_a", [self.cluster.url, self.postgres.url, str(WORKERS)])
        self.allow(self.allowed)

    def allow(self, transfers: int) -> None:
        """Lets the first bank make all transfers up to this number."""
        assert self._producer is not None
        assert self._producer.stdin is not None
        self.allowed = transfers
        self._producer.stdin.write(f"{transfers}\n".encode())
        self._producer.stdin.flush()

    def start_consumer(self) -> None:
        """Starts the second bank's program."""
        self._consumer = self._start("tests.workloads.bank_b", [self.cluster.url, str(self.mariadb.port)])

    def _start(self, module: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", module, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent)}
        return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=self._log, stderr=self._log)

    def end(self) -> None:
        """Ends both programs."""
        for program in (self._producer, self._consumer):
            if program is not None:
                program.kill()
                program.wait()

    def _expect_alive(self) -> None:
        """Raises RuntimeError where one of the programs, which are to stay, has ended by itself."""
        for program in (self._producer, self._consumer):
            if program is not None and program.poll() is not None:
                raise RuntimeError(f"{program.args} ended by itself with {program.returncode}")

    def sent(self) -> int:
        """Transfers made at the first bank, or -1 while it is down."""
        self._expect_alive()
        try:
            with self.postgres.connect() as bank:
                row = bank.execute("SELECT count(*) FROM transfer").fetchone()
            return int(str(row[0])) if row else -1
        except psycopg.Error:
            return -1

    def credited(self) -> int:
        """Transfers credited at the second bank, or -1 while it is down."""
        self._expect_alive()
        try:
            with self.mariadb.connect() as bank, bank.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM receipt")
                row = cursor.fetchone()
            return int(row[0]) if row else -1
        except (pymysql.Error, OSError):
            return -1

    def in_flight(self) -> int:
        """Transfers begun and not credited: open transactions, and made ones that have not arrived. 0 while unknown."""
        try:
            with self.postgres.connect() as bank:
                query = "SELECT count(*) FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid()"
                row = bank.execute(query).fetchone()
            begun = int(str(row[0])) if row else 0
        except psycopg.Error:
            return 0
        sent, credited = self.sent(), self.credited()
        return begun + sent - credited if min(sent, credited) >= 0 else 0

    def kill_when_busy(self, part: str) -> None:
        """kill -9 of this part while enough transfers are in flight; starts it again."""
        busy = wait_for(f"{IN_FLIGHT_MIN} transfers in flight", self._busy, PROGRESS_S)
        self.in_flight_min = min(self.in_flight_min, busy)
        self.kills[part] += 1
        self.last_fault = time.monotonic()
        if part == "producer":
            assert self._producer is not None
            self._producer.kill()
            self._producer.wait()
            self.start_producer()
        elif part == "consumer":
            assert self._consumer is not None
            self._consumer.kill()
            self._consumer.wait()
            self.start_consumer()
        elif part in ("PostgreSQL", "MariaDB"):
            server = self.postgres if part == "PostgreSQL" else self.mariadb
            server.kill()
            server.start()
            server.wait_ready()
        else:
            self._kill_node(part == "leader")

    def _busy(self) -> int | None:
        count = self.in_flight()
        return count if count >= IN_FLIGHT_MIN else None

    def _kill_node(self, leader: bool) -> None:
        """Kills the node that leads most shards, or the one that leads fewest."""
        counts = Counter({node.name: 0 for node in self.cluster.nodes})
        counts.update(self.cluster.wait_leaders().values())
        ordered = [name for name, _ in counts.most_common() if name]
        victim = self.cluster.node(ordered[0] if leader else ordered[-1])
        victim.kill()
        victim.start()
        victim.wait_ready()

    def settle(self, timeout_s: float) -> float:
        """Waits until all is sent, credited and decided; returns how many seconds after the last kill that was."""
        deadline = self.last_fault + timeout_s

        def wait(what: str, look: Callable[[], bool]) -> None:
            wait_for(what, look, max(1.0, deadline - time.monotonic()))

        wait("all transfers made", lambda: self.sent() == self.transfers)
        wait("all transfers credited", lambda: self.credited() >= self.transfers)
        wait("nothing in doubt", lambda: self.decided()["in doubt"] == 0)
        return time.monotonic() - self.last_fault

    def decided(self) -> Counter[str]:
        """How many transactions are in doubt, and how many were decided how and by whom."""
        seen: dict[bytes, str] = {}
        for node in self.cluster.nodes:
            with grpc.insecure_channel(node.client_address) as channel:
                admin = admin_pb2_grpc.AdminStub(channel)
                after = b""
                while True:
                    request = admin_pb2.ListTransactionsRequest(limit=1000, after=after)
                    reply = admin.ListTransactions(request, timeout=30, wait_for_ready=True)
                    for one in reply.transactions:
                        state = {1: "in doubt", 2: "committed", 3: "rolled back"}.get(one.state, "?")
                        seen[one.transaction_id] = f"{state} by {one.decided_by}" if one.decided_by else state
                    after = reply.next
                    if not after:
                        break
        return Counter(seen.values())

    def outcome(self, settled_s: float) -> Outcome:
        """Asks both banks."""
        with self.postgres.connect() as bank:
            row = bank.execute("SELECT sum(balance), (SELECT count(*) FROM transfer) FROM account").fetchone()
        assert row is not None
        with self.mariadb.connect() as other, other.cursor() as cursor:
            cursor.execute("SELECT sum(balance) FROM account")
            arrived = cursor.fetchone()
            cursor.execute("SELECT count(*), count(DISTINCT number) FROM receipt")
            receipts = cursor.fetchone()
        assert arrived is not None
        assert receipts is not None
        return Outcome(
            transfers=int(str(row[1])),
            left=int(str(row[0])),
            arrived=int(arrived[0]),
            receipts=int(receipts[0]),
            distinct=int(receipts[1]),
            decided=self.decided(),
            kills=self.kills,
            in_flight_min=self.in_flight_min,
            settled_s=settled_s,
        )


def schedule(kills: int, chooser: random.Random) -> list[str]:
    """Each part equally often, in a random order."""
    parts: list[str] = []
    while len(parts) < kills:
        round_of_all = list(PARTS)
        chooser.shuffle(round_of_all)
        parts += round_of_all
    return parts[:kills]


def leave_alone(_bank: Bank) -> None:
    """Does nothing to the banks."""


def run(
    folder: Path,
    transfers: int,
    parts: list[str],
    settle_s: float,
    tell: bool,
    meddle: Callable[[Bank], None] = leave_alone,
) -> Outcome:
    """The whole run. `meddle` is let at the banks right before they are asked. Raises TimeoutError."""
    began = time.monotonic()

    def say(text: str) -> None:
        if tell:
            print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    with (
        Cluster.create(folder / "cluster", settings=SETTINGS) as cluster,
        Postgres() as postgres,
        MariaDb() as mariadb,
        (folder / "programs.txt").open("ab") as log,
    ):
        cluster.start()
        bank = Bank(cluster, postgres, mariadb, transfers, log)
        try:
            bank.set_up()
            say(f"three nodes, PostgreSQL and MariaDB; {transfers} transfers of 100 yuan by {WORKERS} workers")
            bank.allow(transfers // (len(parts) + 1))
            for number, part in enumerate(parts, start=1):
                before, after = (transfers * at // (len(parts) + 1) for at in (number, number + 1))
                # What is allowed ends behind the kill, however long the parts take to come back.
                wait_for(f"{before} transfers", lambda before=before: bank.sent() >= before, PROGRESS_S)
                bank.allow(after)
                bank.kill_when_busy(part)
                say(f"kill -9 no. {number}: {part}, at {bank.sent()} made and {bank.credited()} credited")
            bank.allow(transfers)
            settled_s = bank.settle(settle_s)
            meddle(bank)
            return bank.outcome(settled_s)
        except BaseException:
            print((folder / "programs.txt").read_text(encoding="utf-8", errors="replace")[-5000:])
            raise
        finally:
            bank.end()


def report(outcome: Outcome) -> int:
    """Says what was found; returns the exit code, 1 where a yuan is missing."""
    print(f"\n  {outcome.transfers} transfers made, {outcome.receipts} credited, {outcome.distinct} of them different")
    print(f"  first bank {outcome.left} yuan, second bank {outcome.arrived}, together {outcome.left + outcome.arrived}")
    for name, count in sorted(outcome.decided.items()):
        print(f"  {count:6} {name}")
    if outcome.kills:
        print(f"  kills: {dict(outcome.kills)}, each with at least {outcome.in_flight_min} transfers in flight")
    print(f"  all settled {outcome.settled_s:.1f} s after the last fault")
    print("  Every yuan is where it belongs." if outcome.is_exact else "  THIS IS WRONG.")
    return 0 if outcome.is_exact else 1


def main() -> int:
    """Exit code 1 where a yuan is missing, or a transfer was applied twice or not at all."""
    parser = argparse.ArgumentParser(prog="make demo-cluster")
    parser.add_argument("--long", action="store_true", help="20,000 transfers, 102 kills")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    chooser = random.Random(seed)
    transfers, parts = (20_000, schedule(102, chooser)) if options.long else (1_000, ["leader"])
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="tallymq-cluster-") as folder:
        outcome = run(Path(folder), transfers, parts, settle_s=600.0, tell=True)
    return report(outcome)


if __name__ == "__main__":
    sys.exit(main())
