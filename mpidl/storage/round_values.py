"""Values of one round: every series of every device, in one array."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from mpidl.storage import schema
from mpidl.storage.run_series import RunSeries

Array = npt.NDArray[np.float64]
SeriesArrays = Mapping[str, Array]

SECONDS = "seconds_"
"""Beginning of the names of series with the seconds of a phase of a round."""

FLAGS = 4
"""Columns behind the series: whether a rank wants to stop, whether rounds should be written,
whether the state should be saved, and how far its saving is."""


def width(of_run: RunSeries) -> int:
    """S, the number of columns: those of all series of a run and the flags."""
    return of_run.width + FLAGS


class Series(Mapping[str, Array]):
    """Each series of an array, by name: ``(N,)``, or ``(N, C)`` by class.

    Args:
        array: Columns of all series for N devices, ``(N, S)``, or in r rounds, ``(r, N, S)``.
        of_run: The series of the run.
    """

    def __init__(self, array: Array, of_run: RunSeries) -> None:
        self._array, self._of_run = array, of_run

    def __getitem__(self, key: str) -> Array:
        columns = self._of_run.columns[key]
        by_class = self._of_run.variables[key].dims == schema.PER_CLASS
        return self._array[..., columns if by_class else columns.start]

    def __iter__(self) -> Iterator[str]:
        return iter(self._of_run.columns)

    def __len__(self) -> int:
        return len(self._of_run.columns)


class RoundValues:
    """Values of one round of every series on the D devices of this rank; NaN until set.

    Attributes:
        array: All values, ``(D, S)``.
        series: For each series its part of the array, ``(D,)`` or ``(D, C)``.
        flags: The columns :data:`FLAGS`, ``(D, FLAGS)``.
        trained: Whether each device begins a training in the round, ``(D,)``.
    """

    def __init__(self, devices: list[int], of_run: RunSeries, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._place = {number: i for i, number in enumerate(devices)}
        self.array = np.full((len(devices), width(of_run)), np.nan)
        self.series = dict(Series(self.array, of_run))
        self.flags = self.array[:, -FLAGS:]
        self.trained = np.zeros(len(devices), bool)
        self._seconds = [part for key, part in self.series.items() if key.startswith(SECONDS)]

    def clear(self) -> None:
        """Begin a round: seconds become 0, all other values NaN."""
        self.array.fill(np.nan)
        for part in self._seconds:
            part.fill(0.0)

    def set(self, key: str, device: int, value: npt.ArrayLike) -> None:
        """Set one device's value."""
        self.series[key][self._place[device]] = np.asarray(value)

    def __getitem__(self, key: str) -> Array:
        return self.series[key]

    def __setitem__(self, key: str, value: npt.ArrayLike) -> None:
        self.series[key][:] = np.asarray(value)

    @contextmanager
    def clock(self, phase: str, device: int | None = None) -> Iterator[None]:
        """Add the seconds of the context to a phase, of one device or of all of this rank."""
        started = self._timer()
        yield
        where = slice(None) if device is None else self._place[device]
        self.series[f"seconds_{phase}"][where] += self._timer() - started


def by_rank(values: Array, ranks: npt.NDArray[np.int64]) -> Array:
    """Seconds of each rank, ``(R, M)`` for M ranks, from those of its devices, ``(R, N)``.

    Times measured for each device add up. A time that was measured once for all devices of a rank
    has the same value at each of them, and counts once.
    """
    order = np.argsort(ranks, kind="stable")
    _, starts = np.unique(ranks[order], return_index=True)
    own = values[:, order]
    low, high = (extreme.reduceat(own, starts, axis=1) for extreme in (np.minimum, np.maximum))
    return np.where(low == high, low, np.add.reduceat(own, starts, axis=1))


def spent(series: Mapping[str, Array], ranks: npt.NDArray[np.int64]) -> dict[str, Array]:
    """Seconds of each round, by phase, ``(R,)``, on the rank that worked longest in the round.

    Other ranks waited for that one, not always in the phase "wait".

    Args:
        series: Series by name, ``(R, N)``; only those in seconds are used.
        ranks: Device to rank, ``(N,)``.
    """
    keys = [key for key in series if key.startswith(SECONDS)]
    if not keys:
        return {}
    seconds = {key.removeprefix(SECONDS): by_rank(series[key], ranks) for key in keys}
    seconds = {k: np.nan_to_num(v, posinf=0.0, neginf=0.0) for k, v in seconds.items()}
    worked = [values for phase, values in seconds.items() if phase != "wait"]
    slowest = np.sum(worked, axis=0).argmax(axis=1)
    return {phase: values[np.arange(len(slowest)), slowest] for phase, values in seconds.items()}
