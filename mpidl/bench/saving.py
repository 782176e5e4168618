"""Times of saving a state, against each rank writing the same bytes to its own file."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mpidl.bench import clock
from mpidl.config import version
from mpidl.config.runfile import CheckpointSettings
from mpidl.ranks import world
from mpidl.ranks.world import Comm
from mpidl.storage.checkpoint import Saver, Story

PLAIN = "a file for each rank"
"""The plain way, with which others are compared: write, fsync, wait for all."""


def measure(
    comm: Comm,
    megabytes: Sequence[float],
    repetitions: int,
    where: Path,
    hardware: torch.device = clock.CPU,
) -> list[dict[str, Any]]:
    """Collective. Seconds of each way to save the state of all ranks, taking turns.

    Args:
        comm: All ranks; each has one device.
        megabytes: Sizes of a rank's state.
        repetitions: Times that each way is timed.
        where: A folder on the disk to time.
        hardware: The hardware whose memory holds the state.
    """
    return [one for size in megabytes for one in _measure(comm, size, repetitions, where, hardware)]


def _measure(
    comm: Comm, size: float, repetitions: int, where: Path, hardware: torch.device
) -> list[dict[str, Any]]:
    draw = np.random.default_rng(comm.rank)
    numbers = draw.standard_normal(max(1, int(1e6 * size) // 4)).astype(np.float32)
    state = torch.from_numpy(numbers).to(hardware)
    story = Story(run_file="", origin={}, started="", resumed=[], mpidl=version.number(), commit="")
    with tempfile.TemporaryDirectory(dir=where) as own:
        folder = Path(comm.bcast(own))
        saver = Saver(comm, folder / "run.h5", CheckpointSettings(keep=1), story)
        done = 0

        def copy() -> dict[int, dict[str, np.ndarray[Any, Any]]]:
            return {comm.rank: {"vector": state.to("cpu", copy=True).numpy()}}

        def save() -> None:
            nonlocal done
            done += 1
            saver.begin(done, copy, wait=True)

        def begin() -> None:
            nonlocal done
            done += 1
            saver.begin(done, copy)

        def plain() -> None:
            _write(folder / f"{comm.rank}", state.cpu().numpy())
            world.gathered(comm)

        ways: dict[str, tuple[Callable[[], None], Callable[[], Any]]] = {
            PLAIN: (plain, lambda: None),
            "a checkpoint": (save, lambda: None),
            "what a round waits for": (begin, saver.finish),
        }
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(repetitions + 1):
            for way, (action, after) in ways.items():
                comm.Barrier()
                started = time.monotonic()
                action()
                seconds = time.monotonic() - started
                after()
                if turn:
                    taken[way].append(max(comm.allgather(seconds)))
        saver.close()
        comm.Barrier()
    limit = float(np.median(taken[PLAIN]))
    return [
        {
            "megabytes": size,
            "way": way,
            "of_plain": float(np.median(seconds)) / limit,
            **clock.Times.of(seconds).plain(),
        }
        for way, seconds in taken.items()
    ]


def _write(path: Path, vector: np.ndarray[Any, Any]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        left = vector.view(np.uint8).data
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lines(results: Sequence[dict[str, Any]]) -> list[str]:
    """The comparison as lines."""
    text = ["saving the state: ms, median [quartiles], and how often the plain way's"]
    for one in results:
        times = clock.Times(**{k: one[k] for k in clock.Times.__dataclass_fields__})
        size = f"{one['megabytes']:g} MB a rank"
        text.append(f"  {size:>14}  {one['way']:24} {times.text():>24}  {one['of_plain']:5.2f}")
    return text
