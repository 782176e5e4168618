"""The finder of a run's checkpoints, and of the newest that is whole."""

import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpidl.config.faults import Fault
from mpidl.ranks.world import Comm
from mpidl.storage.checkpoint import sealed
from mpidl.storage.checkpoint.sealed import Array, Damaged, Head

SUFFIX, DRAFT = ".checkpoints", ".writing"


def folder(results: Path) -> Path:
    """The folder of the checkpoints of the run with this results file."""
    return results.with_name(results.stem + SUFFIX)


def folder_in(where: str, results: Path) -> Path:
    """The folder of a run's checkpoints: that beside its results file, or one that was named.

    Args:
        where: Such a folder, or that of a results file of this name; empty for that beside.
        results: The results file.

    Raises:
        Fault: If what was named is no folder.
    """
    if not where:
        return folder(results)
    named = Path(where)
    if not named.is_dir():
        raise Fault(
            f"--resume {where}: must be a folder with checkpoints; a run file goes before --resume."
        )
    return named if newest_first(named) else named / folder(results).name


def path(folder: Path, round_: int) -> Path:
    """The checkpoint after so many rounds."""
    return folder / f"{round_:08}.hdf5"


def draft(folder: Path, round_: int) -> Path:
    """What it is called until it is whole."""
    return folder / f".{path(folder, round_).name}{DRAFT}"


def newest_first(folder: Path) -> list[Path]:
    """All checkpoints in a folder."""
    found = [p for p in folder.glob("*.hdf5") if p.stem.isdigit() and not p.is_symlink()]
    return sorted(found, key=lambda p: int(p.stem), reverse=True)


def sync(folder: Path) -> None:
    """Let the disk have the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some parallel file systems cannot, as they need not.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard(results: Path, final: bool) -> None:
    """Remove all checkpoints of a run that has come to its end, unless they are wanted."""
    if not final:
        shutil.rmtree(folder(results), ignore_errors=True)


def tidy(folder: Path) -> None:
    """Remove what nobody finished writing."""
    for left in folder.glob(f".*{DRAFT}"):
        left.unlink(missing_ok=True)


@dataclass(frozen=True)
class Found:
    """A whole checkpoint.

    Attributes:
        path: The file.
        head: What it says of itself.
        state: The arrays of each device of this rank, by name.
    """

    path: Path
    head: Head
    state: dict[int, dict[str, Array]]

    def everywhere(self, name: str) -> Array:
        """An array of all devices, ``(N, ...)``, read from the file.

        Raises:
            Damaged: If it cannot be read any more.
        """
        loaded = sealed.load(self.path, self.head, range(self.head.devices), name)
        return np.stack([arrays[name] for arrays in loaded])


def find(comm: Comm, where: Path, own: Sequence[int], devices: int) -> Found | None:
    """Collective. The newest checkpoint in a folder that is whole; damaged ones are told.

    Args:
        comm: All ranks.
        where: The folder.
        own: The devices of this rank.
        devices: N.

    Raises:
        Fault: If the newest one is of a run with another number of devices.
    """
    names = comm.bcast(newest_first(where) if comm.rank == 0 else None)
    for name in names:
        found, trouble = None, ""
        try:
            head = sealed.read(name)
            if head.devices == devices:
                found = Found(name, head, dict(zip(own, sealed.load(name, head, own), strict=True)))
        except Damaged as damage:
            trouble = str(damage)
        troubles = [told for told in comm.allgather(trouble) if told]
        if not troubles and found is None:
            raise Fault(
                f"{name} is a checkpoint of another number of devices than {devices}; give the "
                "run file that it was made with."
            )
        if not troubles:
            return found
        if comm.rank == 0:
            told = f"mpidl: {name} {troubles[0]}; the one before it is looked for."
            print(told, file=sys.stderr, flush=True)
    return None
