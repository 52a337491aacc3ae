"""What the README shows works as it is written."""

import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from tallymq import Message, Retry, Tally
from tallymq.databases.schema import statements
from tests.support.nodes import Cluster
from tests.support.ports import free_port
from tests.support.waiting import wait_for

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
SCRIPTS = Path(sys.executable).parent
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TALLYMQ_")}
PATIENCE_S = 120.0


def blocks(language: str, heading: str) -> list[str]:
    """The README's blocks of code under this heading, in order."""
    _before, section = README.split(f"## {heading}\n")
    section = section.split("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def on_free_ports(text: str) -> str:
    """The text with each default port replaced by a free one, the same for all blocks given at once."""
    for port in sorted(set(re.findall(r"\b7[0-2]7[0-2]\b", text))):
        text = re.sub(rf"\b{port}\b", str(free_port()), text)
    return text


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    id: Mapped[str] = mapped_column(primary_key=True)
    balance: Mapped[int]


def bank(path: Path, owner: str) -> sessionmaker[Session]:
    """A bank with our tables and one account of 1,000."""
    engine = create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for sql in statements("sqlite"):
            connection.exec_driver_sql(sql)
    made = sessionmaker(engine)
    with made.begin() as session:
        session.add(Account(id=owner, balance=1_000))
    return made


def ran(code: str, path: Path, names: dict[str, object]) -> dict[str, object]:
    """Runs a snippet as a file in which these names are imported already; returns its names."""
    path.write_text(code, encoding="utf-8")
    return runpy.run_path(str(path), init_globals=names)


def test_the_lines_of_user_code_transfer_a_hundred(tmp_path: Path) -> None:
    producer, consumer = blocks("python", "Ten minutes")
    sender, receiver = bank(tmp_path / "a.db", "lilei"), bank(tmp_path / "b.db", "hanmeimei")
    with Cluster.create(tmp_path / "node", 1) as cluster, ExitStack() as open_clients:
        cluster.start()
        cluster.create_topic("transfers")
        producer = producer.replace("tally://localhost:7070", cluster.url)
        names = {"Tally": Tally, "Account": Account, "Session": sender, "engine": sender.kw["bind"]}
        open_clients.enter_context(ran(producer, tmp_path / "producer.py", names)["tally"])
        reader = open_clients.enter_context(Tally(cluster.url, inbox=receiver))
        names = {"Message": Message, "Retry": Retry, "Account": Account, "Session": Session, "tally": reader}
        ran(consumer, tmp_path / "consumer.py", names)
        reader.start()

        def arrived() -> bool:
            with receiver() as session:
                return session.get_one(Account, "hanmeimei").balance != 1_000

        wait_for("the transfer", arrived)
    with sender() as at_a, receiver() as at_b:
        assert (at_a.get_one(Account, "lilei").balance, at_b.get_one(Account, "hanmeimei").balance) == (900, 1_100)


@contextmanager
def program(line: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A line that runs until it is stopped; yields once it said its first line."""
    with (folder / "said.txt").open("a") as said:
        process = subprocess.Popen(
            words(line), cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=said, text=True
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def words(line: str) -> list[str]:
    """A line of shell as words, its program being ours."""
    name, *arguments = shlex.split(line, comments=True)
    return [str(SCRIPTS / name), *arguments]


def run(line: str, folder: Path) -> str:
    ran = subprocess.run(
        words(line), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_one_node_runs_as_its_commands_say(tmp_path: Path) -> None:
    (block,) = blocks("sh", "One node")
    install, node, create, publish, tail = block.splitlines()
    assert install == "pip install -e '.[server]'"
    # The commands name no port: each gets a free one as an option.
    port = free_port()
    node = f"{node.split('#')[0]} --listen 127.0.0.1:{port} --listen-metrics 127.0.0.1:{free_port()}"
    with program(node, tmp_path) as running:
        assert "is ready" in running.stdout.readline(), (tmp_path / "said.txt").read_text()
        server = f"tallymq --server 127.0.0.1:{port}"
        run(create.replace("tallymq", server, 1), tmp_path)
        run(publish.replace("tallymq", server, 1), tmp_path)
        with program(tail.replace("tallymq", server, 1), tmp_path) as tailing:
            assert any("hello" in line for line in tailing.stdout)
        assert (tmp_path / "tallymq-data").is_dir()


def test_three_nodes_run_as_their_commands_say(tmp_path: Path) -> None:
    certs, start = blocks("sh", "Three nodes")
    (first,) = blocks("toml", "Three nodes")
    split = "\n=====\n"
    # The other nodes differ in names, ports and certificates; the ports are those of the members.
    files = [first]
    for number, ports in ((2, "71"), (3, "72")):
        own, members = first.split("[[members]]", 1)
        own = own.replace("node-1", f"node-{number}").replace("data-1", f"data-{number}")
        files.append(re.sub(r":70(7[0-2])", rf":{ports}\1", own) + "[[members]]" + members)
    *configurations, start = on_free_ports(split.join([*files, start])).split(split)
    run(certs, tmp_path)
    node, health = start.splitlines()
    with ExitStack() as running:
        for number, text in enumerate(configurations, 1):
            (tmp_path / f"node-{number}.toml").write_text(text, encoding="utf-8")
            line = node.split("#")[0].replace("node-1", f"node-{number}")
            running.enter_context(program(line, tmp_path))

        def answer() -> subprocess.CompletedProcess[str] | None:
            asked = subprocess.run(
                words(health),
                cwd=tmp_path,
                env=ENVIRONMENT,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
            return asked if asked.returncode == 0 else None

        answered = wait_for("a cluster that is well", answer, PATIENCE_S)
        assert answered.stderr == ""
        assert "3 of 3" in answered.stdout
