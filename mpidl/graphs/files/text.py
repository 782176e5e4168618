"""The lines of a graph file that is no GraphML: numbers, what headers say, and comments."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from mpidl.faults import Fault
from mpidl.graphs.families import LINKS
from mpidl.graphs.files import entries

LINES = 2 * LINKS
"""Lines that are read, comments and blank ones among them."""

ROUNDS = 1_000_000
"""Rounds that a file may name."""

GRAPHS = 100_000
"""Rounds for which it may have a graph."""

HEADERS = {
    "devices": r"devices:\s*(\S*)",
    "directed": r"(directed)",
    "period": r"period:\s*(\S*)",
    "published": r"published ood ranks:\s*(.*)",
    "round": r"round:\s*(\S*)",
}
"""What a comment says, beginning with its ``#``, that is more than a comment."""

MEANT = r"(devices?|directed|periods?|published ood( ranks?)?|rounds?)\s*[:=\d]"
"""What begins as only a header should: it is one, or a mistake."""

Rows = list[tuple[int, str]]
"""Lines that have numbers, each with its own number in the file."""


@dataclass
class Text:
    """What the lines of a file say.

    Attributes:
        path: The file.
        rows: Those that have numbers.
        devices: N, where a header says so.
        directed: Whether links go one way.
        period: After how many rounds all begins again, where a header says so.
        starts: For each graph of its own its first round, and how many rows come before it.
        published: What follows ``published ood ranks:``; None where no line has that.
    """

    path: Path
    rows: Rows = field(default_factory=list)
    devices: int | None = None
    directed: bool = False
    period: int | None = None
    starts: dict[int, int] = field(default_factory=dict)
    published: str | None = None
    _said: dict[str, str] = field(default_factory=dict)

    def take(self, number: int, told: str) -> None:
        """Take what a comment says, if it is a header, in a line of this number.

        Raises:
            Fault: If it looks like one, but is none that makes sense here.
        """
        for kind, pattern in HEADERS.items():
            if found := re.fullmatch(pattern, told, re.IGNORECASE):
                self._set(kind, found[1], f"line {number} (# {told[:40]})")
                return
        if re.match(MEANT, told, re.IGNORECASE):
            raise Fault(
                f"Graph file {self.path}: line {number} (# {told[:40]}) begins as a header does "
                "and is none; headers are '# devices: 5', '# directed', '# round: 3', "
                "'# period: 20' and '# published ood ranks: 0 3'. A comment must begin otherwise."
            )

    def _set(self, kind: str, value: str, where: str) -> None:
        if kind == "round":
            self._begin(entries.whole(self.path, value, where, 0, ROUNDS - 1), where)
            return
        if self._said.setdefault(kind, value) != value:
            raise Fault(f"Graph file {self.path}: {where} is not what an earlier line says.")
        if kind == "devices":
            self.devices = entries.whole(self.path, value, where, 1, entries.DEVICES)
        elif kind == "period":
            self.period = entries.whole(self.path, value, where, 1, ROUNDS)
        elif kind == "directed":
            self.directed = True
        else:
            self.published = value

    def _begin(self, round: int, where: str) -> None:
        last = next(reversed(self.starts), -1)
        if round <= last or (round > 0 and not self.starts):
            raise Fault(f"Graph file {self.path}: {where} is out of order; rounds ascend from 0.")
        if len(self.starts) == GRAPHS:
            raise Fault(f"Graph file {self.path}: has more than {GRAPHS:,} lines '# round: ...'.")
        self.starts[round] = len(self.rows)


def read(path: Path, file: TextIO) -> Text:
    """What an open file says.

    Raises:
        Fault: If a header is wrong, or there are too many lines.
    """
    found = Text(path)
    for number, line in enumerate(file, start=1):
        text = line.strip()
        if text.startswith("#"):
            found.take(number, text[1:].strip())
        elif text:
            found.rows.append((number, text))
        if number > LINES:
            raise Fault(f"Graph file {path}: has more than {LINES:,} lines.")
    entries.affordable(path, len(found.rows))
    return found


def numbers(row: str) -> list[str]:
    """The entries of a row, as they are written."""
    # More than can be devices need not be told apart.
    return row.replace(",", " ").split(None, entries.DEVICES)
