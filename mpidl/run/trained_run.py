"""Trained run, as a calling program gets it: its results file and its models."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

import torch

from mpidl.config.faults import Fault
from mpidl.devices import building, saved
from mpidl.devices.data import RunData
from mpidl.ranks import host, world
from mpidl.ranks.world import Comm

if TYPE_CHECKING:
    import xarray as xr

    from mpidl.run.rounds import Parts

PREFIX = "mpidl-"
"""How the names of temporary folders begin."""


class TrainedRun:
    """A run that :func:`mpidl.train` did.

    Attributes:
        path: The results file. If it is in a temporary folder, that is removed when rank 0 forgets
            this object, at the latest when the program ends.
        outcome: ``completed``, ``diverged`` if a loss was not finite, ``stopped`` if a signal or
            the end of the job's time stopped it, or ``unsaved`` if a checkpoint that the settings
            ask for could not be written.
        models: The models after the last round, in evaluation mode: of the devices of this rank,
            by device.
    """

    def __init__(
        self, path: Path, outcome: str, models: dict[int, torch.nn.Module], temporary: bool
    ) -> None:
        self.path, self.outcome, self.models = path, outcome, models
        if temporary:
            weakref.finalize(self, shutil.rmtree, path.parent, ignore_errors=True)

    @cached_property
    def data(self) -> "xr.Dataset":
        """The results file as labelled arrays; see :func:`mpidl.storage.reader.open`.

        Raises:
            Fault: If xarray is missing, or the file is gone.
        """
        from mpidl.storage import reader

        return reader.open(self.path)

    def __repr__(self) -> str:
        devices = ", ".join(map(str, sorted(self.models)))
        return f"<{self.outcome} run {str(self.path)!r}, models of devices {devices}>"


@overload
def place(given: Path | str) -> Path: ...
@overload
def place(given: None) -> None: ...
@overload
def place(given: Path | str | None) -> Path | None: ...
def place(given: Path | str | None) -> Path | None:
    """The path that a caller gives, if he gives one."""
    return None if given is None else Path(os.path.expanduser(given))


@contextmanager
def folder_for(comm: Comm, out: Path | str | None) -> Iterator[Path]:
    """Collective. The folder of results; a temporary one is removed after an error.

    Raises:
        Fault: If there is none that all ranks see.
    """
    if out is not None:
        yield place(out)
        return
    if len({*comm.allgather(host.name())}) > 1:
        raise Fault("out is missing: ranks of several hosts need a folder that all of them see.")
    folder = ""
    with world.agreed(comm):
        if comm.rank == 0:
            try:
                folder = tempfile.mkdtemp(prefix=PREFIX)
            except OSError as error:
                raise Fault(
                    f"out is missing, and no temporary folder can be made: {error}."
                ) from None
    folder = comm.bcast(folder)
    try:
        yield Path(folder)
    except BaseException:
        if comm.rank == 0:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def models_in(parts: "Parts", run_data: RunData) -> dict[int, torch.nn.Module]:
    """The models of the devices of a rank, in memory of their own."""
    models = {}
    for number, device in parts.devices.items():
        models[number] = building.make_model(parts.plan, run_data, number)
        saved.fill(models[number].eval(), device.memory(own=False))
    return models
