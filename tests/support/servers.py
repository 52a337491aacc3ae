"""Real database servers as processes of one's own, in folders of their own: started, killed, started again."""

import os
import pwd
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pymysql

from tests.support.ports import free_port
from tests.support.waiting import wait_for

READY_S = 120.0
SETUP_S = 300.0


def owner(name: str) -> str | None:
    """The user a server runs as: servers refuse to run as root. None means: as who we are."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(name).pw_name
    except KeyError:
        return "nobody"


class Server(ABC):
    """A database server on loopback. Its folder is its own and is removed at the end."""

    user_name = ""

    def __init__(self) -> None:
        self.port = free_port()
        self._user = owner(self.user_name)
        self.folder = Path(tempfile.mkdtemp(prefix=f"tallymq-{self.user_name}-"))
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Server":
        try:
            self.set_up()
            self.start()
            self.wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @abstractmethod
    def set_up(self) -> None:
        """Makes an empty database."""

    @abstractmethod
    def command(self) -> list[str]:
        """What runs it."""

    @abstractmethod
    def is_ready(self) -> bool:
        """True if it can be asked."""

    def _environment(self) -> dict[str, str]:
        """The environment of a server: its temporary files go into its own folder."""
        return {**os.environ, "TMPDIR": str(self.folder)}

    def run(self, command: Sequence[str]) -> None:
        """Runs a program as the server's user. Raises RuntimeError with what it said."""
        ran = subprocess.run(
            command,
            user=self._user,
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=SETUP_S,
            check=False,
        )
        if ran.returncode != 0:
            raise RuntimeError(f"{command[0]} failed: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")

    def start(self) -> None:
        """Starts it; does not wait."""
        with (self.folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                user=self._user,
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_ready(self) -> None:
        """Waits until it can be asked."""
        wait_for(f"{self.user_name} ready", self.is_ready, READY_S)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class Postgres(Server):
    """PostgreSQL, with fsync on."""

    user_name = "postgres"

    @property
    def url(self) -> str:
        """What psycopg connects to."""
        return f"postgresql://bank@127.0.0.1:{self.port}/postgres?connect_timeout=5"

    def program(self, name: str) -> str:
        """The newest PostgreSQL that Debian installed, or the one in the path."""
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        return str(found[-1]) if found else name

    def set_up(self) -> None:
        """Makes an empty database."""
        options = ["-U", "bank", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        self.run([self.program("initdb"), "-D", str(self.folder / "data"), *options])

    def command(self) -> list[str]:
        """What runs it."""
        places = ["-D", str(self.folder / "data"), "-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.folder)]
        # A killed server leaves children that hold the old shared memory for a moment; the new one must not wait on it.
        return [self.program("postgres"), *places, "-c", "max_connections=200", "-c", "restart_after_crash=off"]

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        """A connection that commits each statement."""
        return psycopg.connect(self.url, autocommit=True)

    def is_ready(self) -> bool:
        """True if it can be asked. Starts it again where the children of a killed one were still in its way."""
        if self._process is not None and self._process.poll() is not None:
            self.start()
        try:
            with self.connect() as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True


class MariaDb(Server):
    """MariaDB, with fsync on."""

    user_name = "mysql"

    def program(self, name: str) -> str:
        """Where Debian keeps it."""
        return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin") or name

    def set_up(self) -> None:
        """Makes an empty database."""
        options = ["--no-defaults", f"--datadir={self.folder / 'data'}", "--skip-test-db"]
        self.run([self.program("mariadb-install-db"), *options, "--auth-root-authentication-method=normal"])
        self.start()
        self.wait_ready()
        with self.connect("mysql") as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE bank")
        self.kill()

    def command(self) -> list[str]:
        """What runs it."""
        places = [f"--datadir={self.folder / 'data'}", f"--socket={self.folder / 'socket'}", f"--port={self.port}"]
        places += [f"--pid-file={self.folder / 'pid'}", "--bind-address=127.0.0.1"]
        return [self.program("mariadbd"), "--no-defaults", *places, "--max-connections=200", "--skip-log-bin"]

    def connect(self, database: str = "bank") -> "pymysql.Connection[pymysql.cursors.Cursor]":
        """A connection that commits each statement."""
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", database=database, autocommit=True, connect_timeout=5
        )

    def is_ready(self) -> bool:
        """True if it can be asked."""
        try:
            with self.connect("mysql") as connection, connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except (pymysql.Error, OSError):
            return False
        return True
