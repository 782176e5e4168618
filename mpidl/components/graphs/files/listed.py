"""Lists of links, row by row: their nodes by number or name, what links carry, their directions."""

from pathlib import Path

from mpidl.components.graphs.files import attributes, entries
from mpidl.components.graphs.files.text import ENDS, Rows, Text, numbers
from mpidl.components.graphs.link_weights import Carried
from mpidl.config.faults import Fault


class Nodes:
    """The nodes of a file, by their numbers or names in it.

    Attributes:
        called: Names in the order of the file, and their numbers; empty if nodes are numbers.
        largest: The largest number.
    """

    def __init__(self, text: Text) -> None:
        self._path, self._first = text.path, text.first
        self._most = (text.devices or entries.DEVICES) - 1
        self._named: bool | None = None
        self.called: dict[str, int] = {}
        self.largest = -1

    def number(self, entry: str, where: str) -> int:
        """The number of a node; if nodes have names, its position among them."""
        if self._named is None:
            self._named = _names(entry)
        found = self._place(entry, where) if self._named else self._numbered(entry, where)
        if found > self.largest:
            self.largest = found
        return found

    def _place(self, entry: str, where: str) -> int:
        if not _names(entry):
            raise Fault(
                f"Graph file {self._path}: {where} has {entry[:40]!r}, and nodes before it have "
                "names; either all have names or all have numbers."
            )
        found = self.called.setdefault(entry, len(self.called))
        if found > self._most:
            raise Fault(
                f"Graph file {self._path}: {where} has one more name, {entry[:40]!r}, than there "
                f"may be devices, {self._most + 1:,}."
            )
        return found

    def _numbered(self, entry: str, where: str) -> int:
        least, most = self._first, self._most + self._first
        # Of millions of entries nearly all are plain numbers, which this tells fastest.
        if (
            entry.isdecimal()
            and entry.isascii()
            and len(entry) < 18
            and least <= int(entry) <= most
        ):
            return int(entry) - least
        if entry == str(most + 1) and not least:
            raise Fault(
                f"Graph file {self._path}: {where} has {entry!r} where a whole number from 0 to "
                f"{most} is needed; numbers that begin at 1 need a line '# numbered from: 1'."
            )
        return entries.whole(self._path, entry, where, least, most) - least


class Listed:
    """A list of links that is read row by row; ``links`` has them as they are written."""

    def __init__(self, text: Text, nodes: Nodes) -> None:
        self._text, self._nodes = text, nodes
        self._mutual, self._again = 0, ""
        self.links = entries.Links(text.path)

    def read(self, rows: Rows) -> None:
        """Add a link for each row."""
        path = self._text.path
        _check_first(path, rows[:1])
        for number, line in rows:
            where, row = f"line {number} of the edge list", numbers(line)
            chance, weight = self._columns(row, where)
            self.add(row[0], row[1], chance, where, weight)

    def _columns(self, row: list[str], where: str) -> tuple[float, object]:
        """The probability of a row, and its weight if it has one."""
        path, columns = self._text.path, self._text.columns
        if columns is not None:
            if len(row) != 2 + len(columns):
                named = " ".join(("i j", *columns))
                raise Fault(f"Graph file {path}: {where} must be '{named}', as its columns are.")
            given = dict(zip(columns, row[2:], strict=True))
            chance = entries.probability(path, given.get("probability", "1"), where)
            written = given.get("weight")
            return chance, None if written is None else entries.weight(path, written, where)
        if len(row) not in (2, 3):
            raise Fault(
                f"Graph file {path}: {where} must be 'i j' or 'i j probability', or 'i j' and "
                "a dictionary of attributes as networkx writes it."
            )
        if len(row) == 3 and row[2].startswith("{"):
            attribute = attributes.read(path, row[2], where)
            works = entries.probability(path, str(attribute.get("probability", 1.0)), where)
            return works, attribute.get("weight")
        return entries.probability(path, row[2], where) if len(row) == 3 else 1.0, None

    def add(
        self, source: str, target: str, chance: float, where: str, weight: object = None
    ) -> None:
        """Add a link between two nodes as they are written."""
        i, j = (self._nodes.number(end, where) for end in (source, target))
        if (j, i) in self.links.chances and (i, j) not in self.links.chances:
            self._mutual += 1
            self._again = self._again or f"{where} repeats the link of {i} and {j}"
        self.links.add((i, j), chance, where, weight=weight)

    def both_ways(self) -> entries.Chances:
        """The links in both directions, if the file does not say that they go one way.

        Raises:
            Fault: If some are written in both directions, and not all of them alike.
        """
        chances = self.links.chances
        if self._text.directed:
            return chances
        if not self._mutual:
            return {**chances, **{(j, i): chance for (i, j), chance in chances.items()}}
        one_way = "a list in which each line is one direction needs a line '# directed'"
        if 2 * self._mutual < len(chances):
            raise Fault(
                f"Graph file {self._text.path}: {self._again}, and other links are there in one "
                f"direction only; {one_way}."
            )
        if any(chances[j, i] != chance for (i, j), chance in chances.items()):
            raise Fault(
                f"Graph file {self._text.path}: {self._again}, and some have another probability "
                f"in each direction; {one_way}."
            )
        return chances

    def carried(self) -> Carried:
        """The weights of the links in both directions, as :meth:`both_ways`, and of devices."""
        links = self.links.weights
        if not self._text.directed:
            links = {(j, i): weight for (i, j), weight in links.items()} | links
        return Carried(links, self.links.own)

    def notes(self) -> list[str]:
        """Notes about the list for a reader of the graph, a line each."""
        both = self._mutual and not self._text.directed
        note = "each link is written in both directions: it is one that goes both ways"
        return [note] * bool(both) + self.links.notes()


def _check_first(path: Path, rows: Rows) -> None:
    for number, line in rows:
        if tuple(numbers(line.lower())[:2]) in ENDS[1:]:
            raise Fault(
                f"Graph file {path}: line {number} of the edge list, {line[:40]!r}, names columns "
                "and is no link; leave it out, or begin it with '#'."
            )


def _names(entry: str) -> bool:
    """Whether an entry is a name, and nothing that could be meant as a number."""
    try:
        float(entry)
    except ValueError:
        return True
    return False
