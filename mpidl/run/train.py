"""Training from a Python program or a notebook, which goes on afterwards."""

import random
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mpidl import plan as planning
from mpidl.components import graphs
from mpidl.config.faults import Fault, shown
from mpidl.config.outcome import Outcome
from mpidl.plan import Plan
from mpidl.preview import topology
from mpidl.preview.facts import Facts
from mpidl.ranks import lending, stopping, world
from mpidl.ranks.world import Comm
from mpidl.run import arguments, checking, execution, live, on_ranks, own_code
from mpidl.run.agreement import check_same
from mpidl.run.trained_run import TrainedRun, folder_for, models_in, place


def train(
    file: Path | str | None = None,
    /,
    *,
    use: str | Sequence[str] = (),
    out: Path | str | None = None,
    overwrite: bool = False,
    ranks: int | None = None,
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
        ranks: Number of ranks that mpiexec starts for the run, if this program has one; then the
            settings must be what a run file can say, and models are those of all devices.
        communicator: The ranks, an mpi4py communicator, which is copied; None for all ranks.
        quiet: Whether nothing is printed.
        settings: Settings over those of the file, by section: a name, such as
            ``topology="ring"``, a function or class in its place, or a dictionary as in a run file,
            such as ``training={"rounds": 5}``. ``topology`` may be a networkx graph or a mixing
            matrix, ``strategy`` a matrix, and ``dataset`` four arrays (x, y, x_test, y_test) or
            torch Datasets. ``dataset`` is the section ``data``, and ``name`` the name of the run.
            Relative paths hold from the current folder.

    Raises:
        Fault: If settings or data are wrong; the same on all ranks.
        Breakdown: If ranks that mpiexec started fail.
        KeyboardInterrupt: After Ctrl-C, with all finished rounds in the results file.
    """
    if ranks is not None:
        if communicator is not None:
            raise Fault("ranks and communicator must not be given together.")
        run_file = on_ranks.named(ranks, file, settings, use)
        return on_ranks.train(run_file, ranks, out, overwrite, quiet)
    before, models = len(stopping.received), dict[int, torch.nn.Module]()
    with lending.Lent(communicator) as lent, restored(), lent.call() as comm:
        plan, dataset = planned(comm, file, settings, use)
        with folder_for(comm, out) as folder, stopping.listening(*stopping.WARNINGS):
            path = folder / f"{plan.file.name}.h5"
            caller = execution.Caller(lambda *of: models.update(models_in(*of)), quiet, dataset)
            outcome = execution.carry_out(comm, plan, path, overwrite, caller=caller)
        temporary = out is None and comm.rank == 0
        run = TrainedRun(path, outcome.name.lower(), models, temporary)
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
            with execution.begin(comm, plan, nowhere, True, None, dataset) as start:
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
        run_file = given.file(place(file), comm.size, use)
    with world.agreed(comm):
        plan = given.plan(run_file, comm.size)
    told = {key: shown(value) for key, value in live.settings(plan.file.text()).items()}
    check_same(comm, {"name": shown(plan.file.name), **told, "graph": graphs.digest(plan.topology)})
    own_code.check_same(comm, planning.codes(plan.file))
    return plan, given.dataset


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
