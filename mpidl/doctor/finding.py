"""Findings about one part of an installation, such as its MPI."""

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """What is known of a part.

    Attributes:
        part: The name of the part.
        found: What is there, on one line.
        wrong: For each thing that does not fit a sentence, with the remedy.
        notes: For each thing that could be better a sentence, with the remedy.
    """

    part: str
    found: str
    wrong: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """The same as a dictionary of texts and lists, for JSON."""
        return asdict(self)


def read(line: str) -> Finding:
    """The finding that a line of JSON holds."""
    part, found, wrong, notes = json.loads(line).values()
    return Finding(part, found, tuple(wrong), tuple(notes))
