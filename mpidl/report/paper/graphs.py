"""Graphs of the published study, recognized by their links."""

import csv
import hashlib
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

DIGITS = 16
"""Hexadecimal digits that are kept of a graph's hash."""


@lru_cache(maxsize=4096)
def digest(edges: Sequence[tuple[int, int]], devices: int) -> str:
    """A hash of a graph: of its number of devices and its sorted links (source, destination)."""
    text = f"{devices};" + ";".join(f"{i},{j}" for i, j in edges)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def known(edges: Sequence[tuple[int, int]], devices: int) -> tuple[str, int] | None:
    """Kind and seed of a graph of the published study, such as ``("ba_33_2", 0)``; else None."""
    return _stored().get(digest(edges, devices))


@cache
def _stored() -> dict[str, tuple[str, int]]:
    path = Path(__file__).with_name("graphs.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return {row["digest"]: (row["kind"], int(row["seed"])) for row in csv.DictReader(file)}
