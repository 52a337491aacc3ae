"""Where a program is that a test was promised by its mark."""

from tests.conftest import find_program


def program_path(name: str) -> str:
    """The path of a program that is there."""
    found = find_program(name)
    assert found is not None, f"there is no {name}: a mark needs_... has to ask for it"
    return found
