"""A data directory serves one process of one node; anything else is refused in one sentence and left as it was."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tallymq.raftlog.data_directory import DataDirectory
from tallymq.raftlog.errors import (
    DirectoryFormatUnknown,
    DirectoryFull,
    DirectoryInUse,
    DirectoryOfAnotherNode,
    DirectoryRefused,
)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def set_up(folder: Path) -> None:
    directory = DataDirectory(folder, node="a", cluster="c", shard_count=4)
    assert directory.is_new
    directory.mark_set_up()
    directory.close()


def test_a_directory_is_new_until_it_was_set_up(tmp_path: Path) -> None:
    for _ in range(2):
        directory = DataDirectory(tmp_path / "data", node="a", cluster="c", shard_count=4)
        assert directory.is_new
        directory.log_folder.mkdir(exist_ok=True)
        directory.close()
    set_up(tmp_path / "data")
    directory = DataDirectory(tmp_path / "data", node="a", cluster="c", shard_count=4)
    assert not directory.is_new
    directory.close()
    directory.close()


def test_a_directory_in_use_is_refused_also_to_another_process(tmp_path: Path) -> None:
    held = DataDirectory(tmp_path, node="a", cluster="c", shard_count=4)
    with pytest.raises(DirectoryInUse, match="in use by another process"):
        DataDirectory(tmp_path, node="a", cluster="c", shard_count=4)
    program = (
        "import sys, pathlib\n"
        "from tallymq.raftlog.data_directory import DataDirectory\n"
        "from tallymq.raftlog.errors import DirectoryInUse\n"
        "try: DataDirectory(pathlib.Path(sys.argv[1]), node='a', cluster='c', shard_count=4)\n"
        "except DirectoryInUse: sys.exit(7)\n"
    )
    command = [sys.executable, "-P", "-c", program, str(tmp_path)]
    assert subprocess.run(command, check=False, timeout=120).returncode == 7
    held.close()
    assert subprocess.run(command, check=False, timeout=120).returncode == 0


@pytest.mark.parametrize(("node", "cluster"), [("b", "c"), ("a", "d")])
def test_another_nodes_directory_is_refused_and_unchanged(tmp_path: Path, node: str, cluster: str) -> None:
    set_up(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(DirectoryOfAnotherNode, match="belongs to node 'a' of cluster 'c'"):
        DataDirectory(tmp_path, node=node, cluster=cluster, shard_count=4)
    assert contents(tmp_path) == before
    DataDirectory(tmp_path, node="a", cluster="c", shard_count=4).close()


def test_another_number_of_shards_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    set_up(tmp_path)
    before = contents(tmp_path)
    for shard_count in (2, 8):
        with pytest.raises(DirectoryOfAnotherNode, match=f"made with shards = 4, the settings say {shard_count}"):
            DataDirectory(tmp_path, node="a", cluster="c", shard_count=shard_count)
    assert contents(tmp_path) == before
    DataDirectory(tmp_path, node="a", cluster="c", shard_count=4).close()


@pytest.mark.parametrize("change", [{}, {"shard_count": None}, {"shard_count": "4"}, {"shard_count": True}])
def test_a_directory_that_does_not_say_how_many_shards_it_has_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    set_up(tmp_path)
    identity = json.loads((tmp_path / "node.json").read_text(encoding="utf-8"))
    del identity["shard_count"]
    (tmp_path / "node.json").write_text(json.dumps(identity | change), encoding="utf-8")
    before = contents(tmp_path)
    for shard_count in (4, 2, 1):
        with pytest.raises(DirectoryFormatUnknown, match="does not say how many shards"):
            DataDirectory(tmp_path, node="a", cluster="c", shard_count=shard_count)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2, "node": "a", "cluster": "c"}', "\0" * 100])
def test_an_identity_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "node.json").write_text(text)
    with pytest.raises(DirectoryFormatUnknown):
        DataDirectory(tmp_path, node="a", cluster="c", shard_count=4)
    assert (tmp_path / "node.json").read_text() == text


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DirectoryFormatUnknown, match=r"thesis\.txt"):
        DataDirectory(tmp_path, node="a", cluster="c", shard_count=4)


def test_a_full_disk_is_said_at_start(tmp_path: Path) -> None:
    with pytest.raises(DirectoryFull, match="MiB free"):
        DataDirectory(tmp_path, node="a", cluster="c", shard_count=4, free_bytes_min=1 << 60)
    DataDirectory(tmp_path, node="a", cluster="c", shard_count=4, free_bytes_min=1).close()


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(DirectoryRefused, match="cannot be used"):
        DataDirectory(tmp_path / "data", node="a", cluster="c", shard_count=4)
