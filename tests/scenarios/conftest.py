"""`pytest tests/scenarios --rewrite` writes what the rules answer into the scenario files; the diff is the review."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write the answers into the scenario files")
