"""Writes one results file in parallel."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from mpidl import schema
from mpidl.world import Comm

Array = npt.NDArray[Any]


class Recorder:
    """Collective. Keeps rows in memory and writes them into a created file every few rounds.

    Args:
        comm: All ranks.
        path: A file that :func:`mpidl.results.create` made.
        devices: The devices of this rank, ascending.
        every: Rounds between writes.
        seconds: Seconds after which rows are written although fewer rounds are due.
        parallel: Whether ranks write together (MPI-IO) or through rank 0.
    """

    def __init__(
        self,
        comm: Comm,
        path: Path,
        devices: list[int],
        every: int,
        seconds: float,
        parallel: bool,
    ) -> None:
        self._comm, self._devices, self._parallel = comm, devices, parallel
        self._every, self._seconds = every, seconds
        self._rows: list[Mapping[str, Array]] = []
        self._done = 0
        self._written_at = time.monotonic()
        self._file = None
        if parallel:
            self._file = h5py.File(path, "r+", driver="mpio", comm=comm)
        elif comm.rank == 0:
            self._file = h5py.File(path, "r+")
        there = comm.bcast(None if self._file is None else list(self._file["series"]))
        self._series = [key for key in schema.SERIES if key in there]

    @property
    def overdue(self) -> bool:
        """Whether this rank's clock says that rows should be written."""
        return time.monotonic() - self._written_at > self._seconds

    def record(self, row: Mapping[str, Array], now: bool) -> None:
        """Collective. Keep one round; write if due or if ``now``, which every rank says alike.

        Args:
            row: For each series its values on this rank's devices, ``(D,)`` or ``(D, C)``.
            now: Write at once.
        """
        self._rows.append(row)
        if now or len(self._rows) >= self._every:
            self.write()

    def write(self) -> None:
        """Collective. Write the rows kept so far, then count them."""
        if self._rows:
            rounds = slice(self._done, self._done + len(self._rows))
            for key in self._series:
                self._write(f"series/{key}", rounds, np.stack([row[key] for row in self._rows]))
            self._done += len(self._rows)
            self._rows.clear()
            if not self._parallel and self._file is not None:
                self._file.flush()
            self._comm.Barrier()
            self._mark(schema.ROUNDS_DONE, self._done)
        self._written_at = time.monotonic()

    def _write(self, key: str, rounds: slice, values: Array) -> None:
        if not self._parallel:
            parts = self._comm.gather((self._devices, values))
            if self._file is not None:
                for devices, part in parts or ():
                    self._file[key][rounds, devices] = part
            return
        dataset = self._file[key]  # type: ignore[index]
        first, last = self._devices[0], self._devices[-1]
        block = last - first + 1 == len(self._devices)
        with dataset.collective:
            columns = slice(first, last + 1) if block else self._devices
            dataset[rounds, columns] = values.astype(dataset.dtype)

    def _mark(self, key: str, value: int) -> None:
        if self._comm.rank == 0 and self._file is not None:
            self._file[key][()] = value
            if not self._parallel:
                self._file.flush()

    def close(self, completed: bool) -> None:
        """Collective. Write what is left, say whether the run came to its end, close the file."""
        self.write()
        if completed:
            self._mark(schema.COMPLETED, 1)
        if self._file is not None:
            self._file.close()
