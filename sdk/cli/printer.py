"""The one printer: tables for people, JSON for programs. Data goes to stdout, talk to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tallymq.cli.failure import Failure
from tallymq.cli.values import plain_text

Item = Mapping[str, object]
"""One thing to print, in the stable shape of `-o json`: snake_case names, values that JSON knows."""


def show(value: object) -> str:
    """Return a value as a table shows it."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(show(part) for part in value) or "-"
    return plain_text(str(value))


@dataclass(frozen=True)
class Column:
    """A column of a table, or a line of a description: which part of an item, and how it is shown."""

    title: str
    key: str
    show: Callable[[object], str] = show
    right: bool = False


class Printer:
    """Prints what commands return. `output` is "table" or "json"."""

    def __init__(self, output: str, out: TextIO | None = None, talk: TextIO | None = None) -> None:
        self.output = output
        self.out = out or sys.stdout
        self.talk = talk or sys.stderr

    @property
    def for_programs(self) -> bool:
        """Whether the output is JSON."""
        return self.output == "json"

    def list(self, items: Sequence[Item], columns: Sequence[Column], nothing: str) -> None:
        """Print a list: as one JSON array, or as a table; `nothing` is said where it is empty."""
        if self.for_programs:
            self._json(list(items))
        elif items:
            self.table(items, columns)
        elif nothing:
            self.say(nothing)

    def one(self, item: Item, columns: Sequence[Column]) -> None:
        """Print one thing: as a JSON object, or a line for each column."""
        if self.for_programs:
            self._json(item)
        else:
            self.lines(item, columns)

    def entry(self, item: Item, text: str) -> None:
        """Print one entry of an endless list at once: a JSON object on a line of its own, or the text."""
        self._write(json.dumps(item, ensure_ascii=self._ascii) if self.for_programs else text)
        self.out.flush()

    def lines(self, item: Item, columns: Sequence[Column]) -> None:
        """Print one thing for people, a line for each column."""
        width = max(len(column.title) for column in columns) + 1
        for column in columns:
            self._write(f"{column.title + ':':<{width}} {column.show(item.get(column.key))}")

    def table(self, items: Sequence[Item], columns: Sequence[Column]) -> None:
        """Print a table for people: with lines on a terminal, plain columns elsewhere, never cut there."""
        rows = [[column.show(item.get(column.key)) for column in columns] for item in items]
        widths = [
            max(cell_len(cell) for cell in cells) for cells in zip((c.title for c in columns), *rows, strict=True)
        ]
        console = Console(file=self.out, highlight=False)
        # A terminal too narrow for it wraps whole lines; folded cells could not be copied out of the table.
        if self.out.isatty() and sum(widths) + 3 * len(widths) <= console.width:
            self._rich_table(console, rows, columns)
        else:
            self._plain_table(rows, columns, widths)

    def heading(self, text: str) -> None:
        """Print a line between tables; for people only."""
        self._write(text)

    def raw(self, content: bytes) -> None:
        """Write bytes as they are."""
        self.out.flush()
        self.out.buffer.write(content)
        self.out.flush()

    def text(self, content: str) -> None:
        """Write text as it is."""
        self.out.write(content)

    def say(self, text: str) -> None:
        """Say something that is not data."""
        print(text, file=self.talk, flush=True)

    def failure(self, failure: Failure) -> None:
        """Say what went wrong: for people in sentences, for programs as one JSON object on a line."""
        if self.for_programs:
            print(json.dumps({"error": failure_item(failure)}, ensure_ascii=True), file=self.talk, flush=True)
            return
        lines = [f"error: {plain_text(failure.message)}"]
        if failure.code or failure.name:
            lines.append(f"  code: {' '.join(part for part in (failure.code, failure.name) if part)}")
        if failure.hint:
            lines.append(f"  hint: {plain_text(failure.hint)}")
        if failure.certainty:
            lines.append(f"  {failure.certainty}")
        self.say("\n".join(lines))

    @property
    def _ascii(self) -> bool:
        return (getattr(self.out, "encoding", None) or "").lower().replace("-", "") != "utf8"

    def _json(self, data: object) -> None:
        self._write(json.dumps(data, indent=2, ensure_ascii=self._ascii))

    def _write(self, line: str) -> None:
        self.out.write(line + "\n")

    def _rich_table(self, console: Console, rows: Iterable[Sequence[str]], columns: Sequence[Column]) -> None:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for column in columns:
            table.add_column(column.title, justify="right" if column.right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)

    def _plain_table(self, rows: Sequence[Sequence[str]], columns: Sequence[Column], widths: Sequence[int]) -> None:
        titles = [column.title for column in columns]
        for row in [titles, *rows]:
            cells = []
            for cell, width, column in zip(row, widths, columns, strict=True):
                padding = " " * (width - cell_len(cell))
                cells.append(padding + cell if column.right else cell + padding)
            self._write("  ".join(cells).rstrip())


def failure_item(failure: Failure) -> Item:
    """Return a failure in the stable shape of `-o json`."""
    return {
        "message": failure.message,
        "code": failure.code or None,
        "name": failure.name or None,
        "hint": failure.hint or None,
        "definite": failure.definite,
        "retryable": failure.retryable,
        "exit_code": int(failure.exit),
    }
