"""Which tests a call runs: a deal of the cases of tests/mpi among numbers of ranks, or all.

A test with many cases says the same of each of them, and of each number of ranks. So every case is
dealt one number of ranks, and one of each test, its representative, is run under all of them, as is
a test without cases. Tests that are marked as dealt have no representative: whole runs, which take
long. Another commit deals anew: over five deals in a row a case is tried under each number of
ranks.
"""

import random
import subprocess
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet

HERE = Path(__file__).parent

WORLDS = (1, 2, 3, 4, 5)
"""Numbers of ranks that launch/local starts the tests under."""

DEALS = 60
"""Deals before they repeat, whatever a function's cases are: a multiple of 2, 3, 4 and 5."""


def slow_but(cases: Iterable[Any], *quick: Any) -> list[ParameterSet]:
    """All of them as parameters, and all slow but a few."""
    return [pytest.param(case, marks=[] if case in quick else [pytest.mark.slow]) for case in cases]


def number() -> int:
    """How many commits there are, so that each turns the deal by one; 0 where git knows none."""
    words = ["git", "rev-list", "--count", "HEAD"]
    try:
        told = subprocess.run(words, cwd=HERE, capture_output=True, text=True, check=False)
        return int(told.stdout) % DEALS
    except (OSError, ValueError):
        return 0


def worlds(
    deal: int, case: int, cases: int, among: Sequence[int] = WORLDS, stands: bool = True
) -> set[int]:
    """The numbers of ranks that a case of a function is tried under.

    Args:
        deal: Number of the deal.
        case: Place of the case, from 0 to below ``cases``.
        cases: How many the function has.
        among: The numbers of ranks that there are to be dealt.
        stands: Whether one of the cases stands for all of them.
    """
    if stands and case == deal % cases:
        return set(WORLDS)
    return {among[(case + deal) % len(among)]}


def parted(
    items: Sequence[pytest.Item], deal: int, ranks: int
) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The tests that a deal runs under a number of ranks, and the rest that it leaves out.

    Slow ones are always left out. A number of ranks that is not dealt has all others.
    """
    functions = defaultdict[object, list[pytest.Item]](list)
    for item in items:
        functions[item.path, item.parent, getattr(item, "originalname", item.name)].append(item)
    tried = set()
    for (path, _, name), cases in functions.items():
        everywhere = ranks not in WORLDS or HERE / "mpi" not in path.parents
        stands = not cases[0].get_closest_marker("dealt")
        # Else all tests without cases were dealt the same number.
        first = 0 if stands else zlib.crc32(str(name).encode()) % DEALS
        for case, item in enumerate(cases, first):
            if not item.get_closest_marker("slow") and (
                everywhere or ranks in worlds(deal, case, len(cases), _among(item), stands)
            ):
                tried.add(item)
    return [i for i in items if i in tried], [i for i in items if i not in tried]


def _among(item: pytest.Item) -> Sequence[int]:
    marker = item.get_closest_marker("ranks")
    return marker.args if marker else WORLDS


def shuffled(items: Iterable[pytest.Item], deal: int) -> list[pytest.Item]:
    """In the order of the deal; tests of a file stay together, for what they share."""
    dice, files = random.Random(deal), defaultdict[Path, list[pytest.Item]](list)
    for item in items:
        files[item.path].append(item)
    groups = list(files.values())
    dice.shuffle(groups)
    for group in groups:
        dice.shuffle(group)
    return [item for group in groups for item in group]
