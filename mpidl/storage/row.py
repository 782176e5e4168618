"""The rows that rounds leave: every series of every device, side by side."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from mpidl.storage import schema

Array = npt.NDArray[np.float64]
Table = Mapping[str, Array]

SECONDS = "seconds_"
"""How the series begin that tell what a phase of a round took."""

FLAGS = 4
"""Columns behind the series: whether a rank wants to stop, whether rows should be written, whether
the state should be saved, and how far its saving is."""


def width(classes: int) -> int:
    """S, the columns of a row: all series and the flags."""
    last: int = max(columns.stop for columns in schema.columns(classes).values())
    return last + FLAGS


class Series(Mapping[str, Array]):
    """Each series in a table with a row per device: ``(N,)``, or ``(N, C)`` by class.

    Args:
        table: ``(N, S)``, or that of many rounds, ``(r, N, S)``.
        classes: C.
    """

    def __init__(self, table: Array, classes: int) -> None:
        self._table, self._columns = table, schema.columns(classes)

    def __getitem__(self, key: str) -> Array:
        columns = self._columns[key]
        by_class = schema.SERIES[key].dims == schema.PER_CLASS
        return self._table[..., columns if by_class else columns.start]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


class Row:
    """One round of every series on the devices of this rank, NaN until set.

    Attributes:
        table: All of it, ``(D, S)``.
        values: For each series its part of the table, ``(D,)`` or ``(D, C)``.
        flags: More columns, for what a rank wants of all.
        trained: Which devices begin a training in the round, ``(D,)``.
    """

    def __init__(self, devices: list[int], classes: int, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._place = {number: i for i, number in enumerate(devices)}
        self.table = np.full((len(devices), width(classes)), np.nan)
        self.values = dict(Series(self.table, classes))
        self.flags = self.table[:, -FLAGS:]
        self.trained = np.zeros(len(devices), bool)
        self._seconds = [part for key, part in self.values.items() if key.startswith(SECONDS)]

    def clear(self) -> None:
        """Begin a round: seconds are zero, all else unknown."""
        self.table.fill(np.nan)
        for part in self._seconds:
            part.fill(0.0)

    def set(self, key: str, device: int, value: npt.ArrayLike) -> None:
        """Set one device's value."""
        self.values[key][self._place[device]] = np.asarray(value)

    def __getitem__(self, key: str) -> Array:
        return self.values[key]

    def __setitem__(self, key: str, value: npt.ArrayLike) -> None:
        self.values[key][:] = np.asarray(value)

    @contextmanager
    def clock(self, phase: str, device: int | None = None) -> Iterator[None]:
        """Add the seconds of a phase, to one device or to all that share this rank."""
        started = self._timer()
        yield
        where = slice(None) if device is None else self._place[device]
        self.values[f"seconds_{phase}"][where] += self._timer() - started


def by_rank(values: Array, ranks: npt.NDArray[np.int64]) -> Array:
    """Seconds of each rank, ``(R, M)`` for M ranks, from those of its devices, ``(R, N)``.

    What devices of a rank were timed at one by one adds up; what was timed once for all of them
    is the same number at each of them, and counts once.
    """
    order = np.argsort(ranks, kind="stable")
    _, starts = np.unique(ranks[order], return_index=True)
    own = values[:, order]
    low, high = (extreme.reduceat(own, starts, axis=1) for extreme in (np.minimum, np.maximum))
    return np.where(low == high, low, np.add.reduceat(own, starts, axis=1))


def spent(series: Mapping[str, Array], ranks: npt.NDArray[np.int64]) -> dict[str, Array]:
    """What each round took, by phase, ``(R,)`` seconds: those of the rank that worked longest.

    Other ranks waited for that one, not always in the phase that is called so.

    Args:
        series: Some series, ``(R, N)``, of which those in seconds count.
        ranks: Device to rank, ``(N,)``.
    """
    keys = [key for key in series if key.startswith(SECONDS)]
    if not keys:
        return {}
    found = {key.removeprefix(SECONDS): by_rank(series[key], ranks) for key in keys}
    found = {k: np.nan_to_num(v, posinf=0.0, neginf=0.0) for k, v in found.items()}
    worked = [values for phase, values in found.items() if phase != "wait"]
    slowest = np.sum(worked, axis=0).argmax(axis=1)
    return {phase: values[np.arange(len(slowest)), slowest] for phase, values in found.items()}
