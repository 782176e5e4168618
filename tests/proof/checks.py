"""The numbers that are proved: measured, expected, and how far apart they may be."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.ranks.world import Comm


@dataclass(frozen=True)
class Finding:
    """What came out.

    Attributes:
        measured: In real rounds.
        expected: By a formula.
        tolerance: How far any number may be from its formula.
    """

    measured: npt.ArrayLike
    expected: npt.ArrayLike
    tolerance: float

    @property
    def apart(self) -> float:
        """The greatest difference."""
        return float(np.abs(np.subtract(self.measured, self.expected)).max())

    @property
    def bits(self) -> str:
        """A sum over the bits of what was measured."""
        return hashlib.sha256(np.asarray(self.measured, np.float64).tobytes()).hexdigest()


@dataclass(frozen=True)
class Check:
    """One number, or one vector, of one algorithm; where it comes from stands with ``measure``."""

    algorithm: str
    what: str
    measure: Callable[[Comm], Finding]


CHECKS: list[Check] = []
"""All of them, in the order of the table."""


def check(
    algorithm: str, what: str, cases: Iterable[tuple[Any, ...]] = ((),)
) -> Callable[[Callable[..., Finding]], Callable[..., Finding]]:
    """Add a check, or one for each case, whose parts go into both texts and the measurement."""

    def add(measure: Callable[..., Finding]) -> Callable[..., Finding]:
        for case in cases:
            found = partial(_on, measure, case)
            CHECKS.append(Check(algorithm.format(*case), what.format(*case), found))
        return measure

    return add


def _on(measure: Callable[..., Finding], case: tuple[Any, ...], comm: Comm) -> Finding:
    return measure(comm, *case)


def size(values: npt.ArrayLike) -> float:
    """One number for many: a number itself, of more the root of their mean square."""
    found = np.asarray(values, np.float64)
    return float(found) if found.ndim == 0 else float(np.sqrt(np.mean(found**2)))
