"""Recorder, which writes one results file in parallel."""

import os
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.config.runfile import RecordSettings
from mpidl.ranks import hdf5
from mpidl.ranks.node import Node
from mpidl.storage import run_series, schema

Array = npt.NDArray[Any]


class Recorder:
    """Collective. Keeps rounds in memory, and writes them into the file every few rounds.

    One rank of each node writes for its node, and no other rank waits for it.

    Args:
        node: The ranks of this node.
        path: A file that :func:`mpidl.storage.layout.create` made.
        hosts: Device to rank, ``(N,)``.
        settings: How often rounds are written.
        parallel: Whether nodes write together (MPI-IO) or rank 0 writes for all.
        done: Number of rounds that are done; the next round is written behind them.
        counted: Number of rounds that the file counts.
    """

    def __init__(
        self,
        node: Node,
        path: Path,
        hosts: npt.NDArray[np.int64],
        settings: RecordSettings,
        parallel: bool,
        done: int = 0,
        counted: int = 0,
    ) -> None:
        self._parallel, self._every, self._seconds = parallel, settings.every, settings.seconds
        self._node, self._writers = node, node.leaders
        here = node.ranks[hosts] == node.ranks[node.comm.rank]
        self._devices = np.flatnonzero(here) if parallel else np.arange(len(hosts))
        self._kept: list[Mapping[str, Array]] = []
        self._done, self._counted = done, max(done, counted)
        self._path = path
        self._written_at = time.monotonic()
        self._file = None
        self._marks = node.comm.rank == 0
        self._inode = _inode(path) if self._marks else 0
        if parallel and self._writers is not None:
            self._file = hdf5.File(path, "r+", driver="mpio", comm=self._writers)
        elif not parallel and self._marks:
            self._file = hdf5.File(path, "r+")
        self._series: list[str] = []
        if self._file is not None:
            own = run_series.listed(self._file.attrs.get(schema.OWN_SERIES))
            self._series = [key for key in (*schema.SERIES, *own) if key in self._file["series"]]

    @property
    def overdue(self) -> bool:
        """Whether this rank writes, and its clock says that rounds should be written."""
        late = time.monotonic() - self._written_at > self._seconds
        return self._file is not None and late

    def record(self, series: Mapping[str, Array], now: bool) -> None:
        """Keep one round; write if that is due, or if ``now``, which is the same on every rank.

        Args:
            series: For each series the values of all devices, ``(N,)`` or ``(N, C)``.
            now: Whether to write at once.
        """
        if self._file is None:
            return
        self._kept.append(series)
        if now or len(self._kept) >= self._every:
            self.write()

    def write(self) -> None:
        """Collective on the ranks that write. Write the rounds kept so far, then count them."""
        if self._kept and self._file is not None:
            rounds = slice(self._done, self._done + len(self._kept))
            self._lengthen(rounds.stop)
            for key in self._series:
                values = np.stack([series[key][self._devices] for series in self._kept])
                self._write(self._file[f"series/{key}"], rounds, values)
            self._done += len(self._kept)
            self._kept.clear()
            if self._parallel and self._writers is not None:
                self._writers.Barrier()
            else:
                self._file.flush()
            self._counted = max(self._counted, self._done)
            self._mark(schema.ROUNDS_DONE, self._counted)
            self._find()
        self._written_at = time.monotonic()

    def _lengthen(self, rounds: int) -> None:
        """Make series that can grow longer, if they have fewer rounds."""
        assert self._file is not None
        scale = self._file["series/round"]
        have = len(scale)
        if rounds <= have or scale.maxshape[0] is not None:
            return
        long = max(rounds, 2 * have)
        for key in [*self._series, "round"]:
            self._file[f"series/{key}"].resize(long, axis=0)
        scale[have:] = np.arange(have, long)

    def _write(self, dataset: "hdf5.Dataset", rounds: slice, values: Array) -> None:
        first, last = self._devices[0], self._devices[-1]
        block = last - first + 1 == len(self._devices)
        columns = slice(first, last + 1) if block else self._devices
        with dataset.collective if self._parallel else nullcontext():
            dataset[rounds, columns] = values.astype(dataset.dtype)

    def _mark(self, key: str, value: int) -> None:
        if self._marks and self._file is not None:
            self._file[key][()] = value
            if not self._parallel:
                self._file.flush()

    def _find(self) -> None:
        if self._marks and self._inode != _inode(self._path):
            raise RuntimeError(f"{self._path} was removed or replaced while the run wrote it")

    def give_up(self) -> None:
        """Collective on the ranks that write. Close the file without the rounds that are kept."""
        if self._file is not None:
            self._file.close()

    def close(self, completed: bool) -> None:
        """Collective. Write the rounds that are left, mark a completed run, and close the file."""
        self.write()
        if completed:
            self._mark(schema.COMPLETED, 1)
        if self._file is not None:
            self._file.close()
        if self._marks:
            self._find()
            _sync(self._path)
        self._node.meet()


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _sync(path: Path) -> None:
    """Write a file through to the disk, before checkpoints that could replace it are removed."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
