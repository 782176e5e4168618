"""The lines of a graph file that has one link or row a line: entries, headers, and comments."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from mpidl.components.graphs.files import entries
from mpidl.components.graphs.limits import LINKS
from mpidl.config.faults import Fault

LINES = 2 * LINKS
"""Lines that are read, comments and blank ones among them."""

ROUNDS = 1_000_000
"""Most rounds that a file may name."""

GRAPHS = 100_000
"""Most rounds for which a file may have a graph."""

HEADERS = {
    "devices": r"devices:\s*(\S*)",
    "directed": r"(directed)|directed graph\b.*",
    "first": r"numbered from:\s*(\S*)",
    "period": r"period:\s*(\S*)",
    "published": r"published ood ranks:\s*(.*)",
    "round": r"round:\s*(\S*)",
    "columns": r"columns:\s*(.*)",
    "matrix": r"matrix:\s*(W)\b.*",
}
"""Headers: patterns of comments, after ``#`` or ``%``, that have a meaning."""

MEANT = r"(devices?|directed|numbered( from)?|periods?|published ood( ranks?)?|rounds?)\s*[:=\d]"
"""Begin of a comment that must be a header, or is a mistake."""

ENDS = (("i", "j"), ("source", "target"), ("from", "to"), ("src", "dst"))
"""Names of the columns that have the ends of a link."""

COLUMNS = ("probability", "weight")
"""Names of further columns."""

KONECT = r"(sym|asym|bip)\s+(unweighted|positive|pos|signed|multi|weighted|dynamic)\w*"
"""The first comment of a file from konect.cc, which begins with ``%``."""

Rows = list[tuple[int, str]]
"""Lines that have entries, each with its own number in the file."""


@dataclass
class Text:
    """Lines and headers of a file.

    Attributes:
        path: The file.
        rows: Lines that have entries, without comments.
        devices: N, if a header has it.
        directed: Whether links go one way.
        first: The number of device 0, from a header, else 0.
        period: Rounds after which the graphs repeat, if a header has them.
        columns: What follows the ends of a link in a row, if a header says it.
        matrix: Whether the rows are those of a mixing matrix W.
        starts: The first round of each graph, with the number of rows before it.
        published: The text after ``published ood ranks:``; None if no line has it.
        notes: Notes about how the file was read, a line each.
    """

    path: Path
    rows: Rows = field(default_factory=list)
    devices: int | None = None
    directed: bool = False
    first: int = 0
    period: int | None = None
    columns: tuple[str, ...] | None = None
    matrix: bool = False
    starts: dict[int, int] = field(default_factory=dict)
    published: str | None = None
    notes: list[str] = field(default_factory=list)
    _said: dict[str, str] = field(default_factory=dict)

    def take(self, number: int, line: str) -> None:
        """Read a line that begins with ``#`` or ``%``, if it is a header.

        Raises:
            Fault: If it looks like a header, but is not a valid one.
        """
        comment = line[1:].strip()
        where = f"line {number} ({line[0]} {comment[:40]})"
        for kind, pattern in HEADERS.items():
            if found := re.fullmatch(pattern, comment, re.IGNORECASE):
                self._set(kind, found[1] or "", where)
                return
        if line[0] == "%" and (found := re.match(KONECT, comment)):
            self._konect(found[1], where)
        elif re.match(MEANT, comment, re.IGNORECASE):
            raise Fault(
                f"Graph file {self.path}: {where} begins as a header does and is none; headers are "
                "'# devices: 5', '# directed', '# numbered from: 1', '# round: 3', '# period: 20', "
                "'# columns: i j weight', '# matrix: W' and '# published ood ranks: 0 3'. A "
                "comment must begin otherwise."
            )

    def _set(self, kind: str, value: str, where: str) -> None:
        if kind == "round":
            self._begin(entries.whole(self.path, value, where, 0, ROUNDS - 1), where)
            return
        if kind != "directed" and self._said.setdefault(kind, value) != value:
            raise Fault(f"Graph file {self.path}: {where} is not what an earlier line says.")
        if kind == "devices":
            self.devices = entries.whole(self.path, value, where, 1, entries.DEVICES)
        elif kind == "period":
            self.period = entries.whole(self.path, value, where, 1, ROUNDS)
        elif kind == "first":
            self.first = entries.whole(self.path, value, where, 0, 1)
        elif kind == "directed":
            self.directed = True
            self.notes += [] if value else [f"links go one way, as {where} says"]
        elif kind == "columns":
            self.columns = self._further(value, where)
        elif kind == "matrix":
            self.matrix = True
        else:
            self.published = value

    def _further(self, value: str, where: str) -> tuple[str, ...]:
        """The names of the columns after the ends of a link."""
        first, second, *others = [*value.lower().replace(",", " ").split(), "", ""]
        names = tuple(name for name in others if name)
        if (first, second) not in ENDS or {*names} - {*COLUMNS} or len({*names}) < len(names):
            raise Fault(
                f"Graph file {self.path}: {where} must be '# columns: i j' and any of "
                "'probability' and 'weight', such as '# columns: i j weight'."
            )
        return names

    def _begin(self, round: int, where: str) -> None:
        last = next(reversed(self.starts), -1)
        if round <= last or (round > 0 and not self.starts):
            raise Fault(f"Graph file {self.path}: {where} is out of order; rounds ascend from 0.")
        if len(self.starts) == GRAPHS:
            raise Fault(f"Graph file {self.path}: has more than {GRAPHS:,} lines '# round: ...'.")
        self.starts[round] = len(self.rows)

    def _konect(self, kind: str, where: str) -> None:
        if kind == "bip":
            raise Fault(
                f"Graph file {self.path}: is a bipartite graph of KONECT, as {where} says, which "
                "is not read: each of its columns numbers nodes by itself."
            )
        self.first, self.directed = 1, kind == "asym"
        way = "one way" if self.directed else "both ways"
        self.notes.append(
            f"it is from KONECT, as {where} says: links go {way}, and its 1 is device 0"
        )


def read(path: Path, file: TextIO) -> Text:
    """The text of an open file.

    Raises:
        Fault: If a header is wrong, or there are too many lines.
    """
    found = Text(path)
    for number, line in enumerate(file, start=1):
        text = line.strip()
        if text.startswith(("#", "%")):
            found.take(number, text)
        elif text:
            if "#" in text or "%" in text:
                text = _uncommented(path, number, text)
            found.rows.append((number, text))
        if number > LINES:
            raise Fault(f"Graph file {path}: has more than {LINES:,} lines.")
    entries.affordable(path, len(found.rows))
    return found


def _uncommented(path: Path, number: int, text: str) -> str:
    """A line without the comment at its end, which may be no header."""
    after = text.rfind("}") + 1
    found = re.search(r"\s[#%]", text[after:])
    if found is None:
        return text
    comment = text[after + found.start() :].strip()
    content = comment[1:].strip()
    if re.match("|".join([MEANT, *HEADERS.values()]), content, re.IGNORECASE):
        raise Fault(
            f"Graph file {path}: line {number} has a header at its end ({comment[:40]}); a header "
            "is a line of its own."
        )
    return text[: after + found.start()].rstrip()


def numbers(row: str) -> list[str]:
    """The entries of a row, as they are written; what is in braces is one."""
    head, brace, rest = row.partition("{")
    # More than can be devices need not be told apart.
    found = head.replace(",", " ").split(None, entries.DEVICES)
    return [*found, brace + rest] if brace else found
