"""Rehearsal of a run: checks beyond its file and data, before it writes anything."""

from mpidl.components.algorithms import Lengths
from mpidl.config.faults import Fault
from mpidl.devices.data import RunData
from mpidl.plan import Plan
from mpidl.ranks import accelerators, mpi_library, sharing, world
from mpidl.ranks.node import Node
from mpidl.ranks.world import Comm


def rehearse(comm: Comm, plan: Plan, run_data: RunData) -> None:
    """Collective. Make the first mixing weights, try hardware and model, and test the backend.

    On processors one rank of each node tries the model before the others, so that a fault costs
    one import of torch, not one on each rank.

    Raises:
        Fault: If weights, model, hardware or backend do not allow the run to begin.
    """
    own = plan.hosted(comm.rank)
    with world.agreed(comm):
        if not plan.looks:
            plan.mixing_weights(0, own)
    inner = world.node(comm)
    ranks, setting = inner.allgather(comm.rank), plan.file.training.accelerator
    kind, seat = None, ""
    with world.returned(inner.Free):
        with world.agreed(comm):
            if inner.rank == 0:
                kind = accelerators.chosen(setting)
        if accelerators.common_kind(comm, kind) != "cpu":
            with world.agreed(comm):
                seat = sharing.identity(accelerators.choose(inner, setting))
        seats = inner.allgather(seat)
        with world.agreed(comm):
            if inner.rank == 0:
                from mpidl.run import trial

                trial.fits(inner, plan, run_data, ranks, seats)
    _connect(comm, plan, run_data)


def _connect(comm: Comm, plan: Plan, run_data: RunData) -> None:
    """Collective. Check that the backend works between all ranks.

    Raises:
        Fault: If it does not.
    """
    from mpidl.devices import building
    from mpidl.exchange import BACKENDS, survey
    from mpidl.run import build

    backend = plan.file.exchange.backend
    if not BACKENDS.properties(backend).carries:
        return
    node = Node(comm)
    setting = plan.file.training.accelerator
    with world.returned(node.close):
        with world.agreed(comm):
            hardware = accelerators.choose(node.inner, setting)
        wiring = build.wired(node, plan, Lengths(*building.sizes(plan, run_data)), hardware)
        survey.require(backend, survey.survey(wiring, backend))


def writer(plan: Plan) -> bool:
    """Whether the results file is written in parallel.

    Raises:
        Fault: If the run file asks for it and h5py cannot.
    """
    setting = plan.file.record.writer
    able = setting != "gather" and mpi_library.check_hdf5()
    if setting == "parallel" and not able:
        raise Fault(
            "record.writer = 'parallel': must be 'auto' or 'gather', as this h5py was built "
            "without MPI."
        )
    return able
