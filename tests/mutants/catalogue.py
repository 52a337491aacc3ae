"""The list of mutants: TOML files beside this one, a table for each mutant.

A mutant is a piece of source text, which must occur once in its file, and what stands in its place. `aimed` are the
tests that exist for it; the simulator's seeds are the second line.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
LEAST = {"raft": 12, "storage": 8, "transactions": 10, "queues": 6, "membership": 4}
"""How many mutants of each group there must be."""


class Mutant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One deliberate bug: `find` becomes `replace` in `file`, and `says` what is wrong then."""

    name: str
    group: str
    says: str
    file: str
    find: str
    replace: str
    aimed: tuple[str, ...]

    def source(self, root: Path) -> str:
        """The file's text with the bug in it. ValueError where the catalogue is not of this source."""
        text = (root / self.file).read_text(encoding="utf-8")
        if text.count(self.find) != 1:
            raise ValueError(
                f"mutant {self.name}: its text occurs {text.count(self.find)} times in {self.file}, not once"
            )
        changed = text.replace(self.find, self.replace)
        compile(changed, self.file, "exec")
        return changed


def load() -> tuple[Mutant, ...]:
    """All mutants, by group and then in the order of their file."""
    found: list[Mutant] = []
    for group in LEAST:
        tables: dict[str, Any] = tomllib.loads((FOLDER / f"{group}.toml").read_text(encoding="utf-8"))
        found += [msgspec.convert({"group": group, **table}, Mutant) for table in tables["mutant"]]
    return tuple(found)
