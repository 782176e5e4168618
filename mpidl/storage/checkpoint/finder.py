"""Finder of the newest complete checkpoint of a run."""

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
from mpidl.storage.checkpoint import heads, sealed
from mpidl.storage.checkpoint.heads import Damaged, Head
from mpidl.storage.checkpoint.sealed import Array

SUFFIX, DRAFT = ".checkpoints", ".writing"


def folder(results: Path) -> Path:
    """The folder of the checkpoints of the run with this results file."""
    return results.with_name(results.stem + SUFFIX)


def folder_in(where: str, results: Path) -> Path:
    """The folder of a run's checkpoints: beside its results file, or the one that a user names.

    Args:
        where: A folder of checkpoints, or the folder of a results file of this name; empty for the
            folder beside the results file.
        results: The results file.

    Raises:
        Fault: If ``where`` is not a folder.
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
    """The path of the checkpoint after a number of rounds."""
    return folder / f"{round_:08}.hdf5"


def draft(folder: Path, round_: int) -> Path:
    """The path of a checkpoint until it is complete."""
    return folder / f".{path(folder, round_).name}{DRAFT}"


def newest_first(folder: Path) -> list[Path]:
    """All checkpoints in a folder, the newest first."""
    paths = [p for p in folder.glob("*.hdf5") if p.stem.isdigit() and not p.is_symlink()]
    return sorted(paths, key=lambda p: int(p.stem), reverse=True)


def sync(folder: Path) -> None:
    """Write the names in a folder through to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some parallel file systems cannot do this, and do not need it.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard(results: Path, final: bool) -> None:
    """Remove all checkpoints of a completed run, unless the final one is wanted."""
    if not final:
        shutil.rmtree(folder(results), ignore_errors=True)


def tidy(folder: Path) -> None:
    """Remove incomplete checkpoints."""
    for left in folder.glob(f".*{DRAFT}"):
        left.unlink(missing_ok=True)


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A complete checkpoint, of which this rank's part is loaded.

    Attributes:
        path: The file.
        head: Its head.
        state: The arrays of each device of this rank, by name.
    """

    path: Path
    head: Head
    state: dict[int, dict[str, Array]]

    def everywhere(self, name: str) -> Array:
        """An array of all devices, ``(N, ...)``, read from the file.

        Raises:
            Damaged: If it can no longer be read.
        """
        loaded = sealed.load(self.path, self.head, range(self.head.devices), name)
        return np.stack([arrays[name] for arrays in loaded])


def find(comm: Comm, where: Path, own: Sequence[int], devices: int) -> LoadedCheckpoint | None:
    """Collective. The newest complete checkpoint in a folder; damaged ones are reported.

    Args:
        comm: All ranks.
        where: The folder.
        own: The devices of this rank.
        devices: N.

    Raises:
        Fault: If it is of a run with another number of devices.
    """
    names = comm.bcast(newest_first(where) if comm.rank == 0 else None)
    for name in names:
        loaded, trouble = None, ""
        try:
            head = heads.read(name)
            if head.devices == devices:
                loaded = LoadedCheckpoint(
                    name, head, dict(zip(own, sealed.load(name, head, own), strict=True))
                )
        except Damaged as damage:
            trouble = str(damage)
        troubles = [reason for reason in comm.allgather(trouble) if reason]
        if not troubles and loaded is None:
            raise Fault(
                f"{name} is a checkpoint of another number of devices than {devices}; give the "
                "run file of its run."
            )
        if not troubles:
            return loaded
        if comm.rank == 0:
            warning = f"mpidl: {name} {troubles[0]}; the checkpoint before it is tried."
            print(warning, file=sys.stderr, flush=True)
    return None
