"""The Go example is made of the public proto files, is clean, and does what it says against real nodes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nodes import Cluster
from tests.support.programs import program_path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "go"
STUBS = "tallymqv1"
# The first build on a machine fetches and compiles gRPC.
BUILD_S = 600
RUN_S = 180

pytestmark = pytest.mark.needs_go


def run(*command: str, timeout_s: float = BUILD_S, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(Path(program_path("go")).parent), os.environ.get("PATH", os.defpath)))
    variables = {**os.environ, "PATH": path, "GOFLAGS": "-buildvcs=false", **environment}
    return subprocess.run(
        command, cwd=EXAMPLE, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=timeout_s, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("go") / "example"
    built = run("go", "build", "-o", str(path), ".")
    assert built.returncode == 0, built.stderr
    return str(path)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.create(tmp_path_factory.mktemp("nodes"), node_count=3) as made:
        made.start()
        yield made


def test_it_is_clean_and_computes_what_the_vectors_say() -> None:
    vetted = run("go", "vet", "./...")
    assert vetted.returncode == 0, vetted.stderr
    unformatted = run("gofmt", "-l", ".")
    assert (unformatted.returncode, unformatted.stdout) == (0, ""), unformatted.stderr
    tested = run("go", "test", "-count=1", "./...")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_its_stubs_are_those_of_the_proto_files(tmp_path: Path) -> None:
    made = run("sh", "generate.sh", str(tmp_path), PYTHON=sys.executable)
    assert made.returncode == 0, made.stderr
    fresh = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / STUBS).iterdir()}
    committed = {path.name: path.read_text(encoding="utf-8") for path in (EXAMPLE / STUBS).iterdir()}
    assert sorted(fresh) == sorted(committed)
    stale = [name for name in fresh if fresh[name] != committed[name]]
    assert stale == [], "run: examples/go/generate.sh"


def test_it_commits_rolls_back_answers_a_check_and_consumes(program: str, cluster: Cluster) -> None:
    # From each node, twice: what it finds of an earlier run must not confuse it.
    for address in [node.client_address for node in cluster.nodes] * 2:
        ran = run(program, "-server", address, "-timeout", "2m", timeout_s=RUN_S)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        first_words = [line.split()[0] for line in ran.stdout.splitlines()]
        assert first_words == ["prepared"] * 3 + ["committed", "rolled", "answered"] + ["received"] * 2 + ["Everything"]


def test_it_says_so_where_something_is_wrong(program: str, cluster: Cluster) -> None:
    address = cluster.nodes[0].client_address
    refused = run(program, "-server", address, "-topic", "not a name", timeout_s=RUN_S)
    assert refused.returncode == 1
    assert "ILLEGAL_NAME" in refused.stderr
