"""The house rules, where a machine can hold them."""

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("proto", "raftlog", "sdk", "service", "txn")
OTHERS = ("tests", "examples", "benchmarks")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")
# Written so that this file does not hold what it looks for.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|NotImplemented" r"Error")
MACHINE_PATHS = re.compile(r"(?<![\w.<])/(work|home/\w+|root|Users/\w+)/")
DOCUMENTS = (".md", ".py", ".toml", ".proto", ".go", ".txt", ".sh", ".service", ".sql", ".json")


def files(*folders: str, suffixes: tuple[str, ...] = (".py",)) -> Iterator[Path]:
    """Every file of ours under these folders, generated ones aside."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and "__pycache__" not in path.parts and not GENERATED.search(path.name):
                yield path


def named(paths: Iterator[Path]) -> list[object]:
    """One parameter for each file, called by its place in the repository."""
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def called(node: ast.AST) -> str:
    """The dotted name a call names, or an empty string."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


PYTHON = named(files(*ROOMS, *OTHERS))
SHIPPED = named(files(*ROOMS))
TESTS = named(path for path in files("tests") if path.name.startswith("test_"))
TEXTS = [
    *named(files(*ROOMS, *OTHERS, "docs", suffixes=DOCUMENTS)),
    *named(path for path in (ROOT / ".ci/run", *ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml")),
]


@pytest.mark.parametrize("path", PYTHON)
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= FILE_LINES_MAX, f"{lines} lines"


@pytest.mark.parametrize("path", PYTHON)
def test_a_function_does_one_thing(path: Path) -> None:
    for function in functions(tree(path)):
        lines = (function.end_lineno or 0) - function.lineno + 1
        assert lines <= FUNCTION_LINES_MAX, f"{function.name} has {lines} lines"


@pytest.mark.parametrize("path", PYTHON)
def test_imports_are_absolute_and_by_one_name(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        for name in names:
            assert name.split(".")[0] not in ROOMS, f"line {node.lineno}: import it as tallymq.{name}"


@pytest.mark.parametrize("path", PYTHON)
def test_nothing_runs_text_as_code(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names} & {"pickle", "marshal", "shelve", "dill"}
        if isinstance(node, ast.ImportFrom):
            assert node.module not in {"pickle", "marshal", "shelve", "dill"}
        if isinstance(node, ast.Call):
            assert called(node) not in {"eval", "exec", "os.system", "os.popen"}, f"line {node.lineno}"
            shell = [keyword for keyword in node.keywords if keyword.arg == "shell"]
            assert not shell, f"line {node.lineno}: no shell between us and a program"


@pytest.mark.parametrize("path", TESTS)
def test_tests_wait_for_what_they_want_and_not_for_a_time(path: Path) -> None:
    for node in ast.walk(tree(path)):
        assert called(node) not in {"time.sleep", "sleep"}, f"line {node.lineno}"


@pytest.mark.parametrize("path", TESTS)
def test_every_test_can_fail(path: Path) -> None:
    able = able_to_fail(tree(path))
    for function in functions(tree(path)):
        if function.name.startswith("test_"):
            assert function.name in able, f"{function.name} asserts nothing"


def able_to_fail(module: ast.Module) -> set[str]:
    """The functions of a file that can find something wrong, by themselves or by what they call there."""
    calls = {one.name: {called(node).split(".")[-1] for node in ast.walk(one)} for one in functions(module)}
    able = {function.name for function in functions(module) if holds(function)}
    able |= {
        name for name, names in calls.items() if any(one.startswith(("check", "assert", "expect")) for one in names)
    }
    while more := {name for name, names in calls.items() if name not in able and names & able}:
        able |= more
    return able


def holds(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """True if the function itself can find something wrong: it asserts, fails, or waits for what must come."""
    waits = ("pytest.raises", "pytest.fail", ".raises", "wait_for", "wait_until", "eventually", "until")
    return any(isinstance(node, ast.Assert) or called(node).endswith(waits) for node in ast.walk(function))


@pytest.mark.parametrize("path", TEXTS)
def test_nothing_is_left_for_later(path: Path) -> None:
    found = UNFINISHED.search(path.read_text(encoding="utf-8"))
    assert found is None, found


@pytest.mark.parametrize("path", TEXTS)
def test_nothing_names_a_place_on_one_machine(path: Path) -> None:
    found = MACHINE_PATHS.search(path.read_text(encoding="utf-8"))
    assert found is None, found


@pytest.mark.parametrize("path", SHIPPED)
def test_a_linter_is_silenced_by_name_and_with_a_reason(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and re.search(r"#\s*(noqa|type:\s*ignore)\s*(#|$)", token.string):
            pytest.fail(f"line {token.start[0]}: says neither which rule nor why")


def test_no_file_of_the_client_hides_a_room() -> None:
    # sdk/txn.py would silently replace tallymq.txn.
    inside = {path.stem if path.suffix == ".py" else path.name for path in (ROOT / "sdk").iterdir()}
    assert not inside & set(ROOMS)


def test_the_package_list_names_every_folder_of_code() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = set()
    for room in ROOMS:
        inits = [path.parent for path in (ROOT / room).rglob("__init__.py")]
        for folder in inits:
            parts = folder.relative_to(ROOT).parts
            folders.add(".".join(("tallymq", *(parts[1:] if room == "sdk" else parts))))
    assert set(setuptools["packages"]) == folders
    holding = {path.parent for path in files(*ROOMS)}
    assert all((folder / "__init__.py").exists() for folder in holding), "a folder with code and no __init__.py"


def test_the_tests_that_are_said_to_hold_a_promise_exist() -> None:
    promised = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")))
    there = {function.name for path in files("tests") for function in functions(tree(path))}
    assert promised
    assert promised <= there, f"no such test: {sorted(promised - there)}"
