"""Training from a Python program or a notebook, which goes on afterwards."""

import os
import random
import shutil
import signal
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mpidl.components import graphs
from mpidl.config.faults import Fault, shown
from mpidl.config.outcome import Outcome
from mpidl.devices import building, saved
from mpidl.devices.data import RunData
from mpidl.plan import Plan
from mpidl.preview import topology
from mpidl.preview.facts import Facts
from mpidl.ranks import host, lending, stopping, world
from mpidl.ranks.world import Comm
from mpidl.run import arguments, checking, command

if TYPE_CHECKING:
    import xarray as xr

    from mpidl.run.rounds import Parts

PREFIX = "mpidl-"
"""How the names of temporary folders begin."""


class TrainedRun:
    """A run that :func:`train` did.

    Attributes:
        path: The results file. If it is in a temporary folder, that is removed when rank 0 forgets
            this object, at the latest when the program ends.
        outcome: ``completed``, ``diverged`` if a loss was not finite, ``stopped`` if a signal or
            the end of the job's time stopped it, or ``unsaved`` if a checkpoint that the settings
            ask for could not be written.
        models: The models after the last round: of the devices of this rank, by device.
    """

    def __init__(self, path: Path, outcome: str, models: dict[int, torch.nn.Module]) -> None:
        self.path, self.outcome, self.models = path, outcome, models

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


def train(
    file: Path | str | None = None,
    /,
    *,
    use: str | Sequence[str] = (),
    out: Path | str | None = None,
    overwrite: bool = False,
    communicator: "Comm | None" = None,
    quiet: bool = False,
    **settings: Any,
) -> TrainedRun:
    """Collective. Train one model per device on a graph, gossip, and record, as ``mpidl.run`` does.

    With one rank, as in a notebook, the process hosts all devices. The caller's process is as
    before afterwards: signal handlers, communicators, threads, random states. It may be called from
    any thread, by one at a time.

    Args:
        file: A run file; without one the embedded default.
        use: Files and modules of your own, which register what the settings name.
        out: The folder for ``<name>.h5``; None for a temporary folder, for ranks of one host.
        overwrite: Whether it may replace the file of a completed run.
        communicator: The ranks, an mpi4py communicator, which is copied; None for all ranks.
        quiet: Whether nothing is printed.
        settings: Settings over those of the file, by section: a name, such as
            ``topology="ring"``, a function or class in its place, or a dictionary as in a run file,
            such as ``training={"rounds": 5}``. ``topology`` may be a networkx graph or a mixing
            matrix, ``strategy`` a matrix, and ``dataset`` four arrays (x, y, x_test, y_test) or
            torch Datasets. ``dataset`` is the section ``data``, and ``name``
            the name of the run. Relative paths hold from the current folder.

    Raises:
        Fault: If settings or data are wrong; the same on all ranks.
        KeyboardInterrupt: After Ctrl-C, with all finished rounds in the results file.
    """
    before, models = len(stopping.received), dict[int, torch.nn.Module]()
    with lending.Lent(communicator) as lent, restored(), lent.call() as comm:
        plan, dataset = planned(comm, file, settings, use)
        with folder_for(comm, out) as folder, stopping.listening(*stopping.WARNINGS):
            path = folder / f"{plan.file.name}.h5"
            caller = command.Caller(lambda *run: models.update(taken(*run)), quiet, dataset)
            outcome = command.carry_out(comm, plan, path, overwrite, caller=caller)
        run = TrainedRun(path, outcome.name.lower(), models)
        if out is None and comm.rank == 0:
            weakref.finalize(run, shutil.rmtree, folder, ignore_errors=True)
    for number in dict.fromkeys(stopping.received[before:]):
        # Ctrl-C is raised below on all ranks, also where only one of them got it.
        if number != signal.SIGINT:
            signal.raise_signal(number)
    if outcome is Outcome.INTERRUPTED:
        raise KeyboardInterrupt
    return run


def check(
    file: Path | str | None = None,
    /,
    *,
    use: str | Sequence[str] = (),
    compare: bool = False,
    communicator: "Comm | None" = None,
    **settings: Any,
) -> Facts:
    """Collective. What to expect of a run, without training, as ``mpidl.run --check`` prints it.

    The data are read and the model is tried, so what :func:`train` would refuse is refused here.
    :func:`mpidl.preview.facts.plain` makes a dictionary of it, as ``--json`` does.

    Args:
        file: As for :func:`train`, and so are ``use``, ``communicator`` and ``settings``.
        use: Files and modules of your own.
        compare: Whether to compare all strategies on the graph, as ``python -m mpidl.topology``
            does, without data and model.
        communicator: The ranks.
        settings: Settings by section.

    Returns:
        The facts; the same on all ranks.

    Raises:
        Fault: If a run would be refused.
    """
    with lending.Lent(communicator) as lent, restored(), lent.call() as comm:
        plan, dataset = planned(comm, file, settings, use)
        found: Facts | None = None
        if compare:
            with world.agreed(comm):
                if comm.rank == 0:
                    found = topology.values(topology.alone(plan))
        else:
            nowhere = Path(tempfile.gettempdir()) / f"{plan.file.name}.h5"
            with command.begin(comm, plan, nowhere, True, None, dataset) as start:
                found = checking.foresee(comm, start.plan, start.run_data)
        told: Facts = comm.bcast(found)
    return told


def planned(
    comm: Comm, file: Path | str | None, settings: Mapping[str, Any], use: str | Sequence[str]
) -> tuple[Plan, Any]:
    """Collective. The plan that arguments of :func:`train` mean, and the data set if it is given.

    Raises:
        Fault: If they are wrong, or differ between ranks.
    """
    with world.agreed(comm):
        given = arguments.read(settings)
        source = None if file is None else Path(os.path.expanduser(file))
        run_file = given.file(source, comm.size, [use] if isinstance(use, str) else use)
    with world.agreed(comm):
        plan = given.plan(run_file, comm.size)
    text = f'{plan.file.text()}\ngraph = "{graphs.digest(plan.topology)}"'
    texts: list[str] = comm.allgather(text)
    other = next((rank for rank, theirs in enumerate(texts) if theirs != texts[0]), None)
    if other is not None:
        pairs = zip_longest(texts[0].splitlines(), texts[other].splitlines(), fillvalue="nothing")
        first, second = next((one, two) for one, two in pairs if one != two)
        raise Fault(
            f"Rank 0 gives {shown(first)} and rank {other} {shown(second)}: all must give the same."
        )
    return plan, given.dataset


@contextmanager
def folder_for(comm: Comm, out: Path | str | None) -> Iterator[Path]:
    """Collective. The folder of results; a temporary one is removed after an error.

    Raises:
        Fault: If there is none that all ranks see.
    """
    if out is not None:
        yield Path(os.path.expanduser(out))
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


@contextmanager
def restored() -> Iterator[None]:
    """Restore the random states of Python, NumPy and torch's processor at the end."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


def taken(parts: "Parts", run_data: RunData) -> dict[int, torch.nn.Module]:
    """The models of the devices of a rank, in memory of their own."""
    models = {}
    for number, device in parts.devices.items():
        models[number] = building.make_model(parts.plan, run_data, number)
        saved.fill(models[number], device.memory(own=False))
    return models
