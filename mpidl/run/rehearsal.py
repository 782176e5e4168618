"""The rehearsal: what a run refuses beyond its file and data, before it writes anything."""

from mpidl.components.algorithms import Lengths
from mpidl.config.faults import Fault
from mpidl.devices.data import Stock
from mpidl.plan import Plan
from mpidl.ranks import accelerators, mpi_library, sharing, world
from mpidl.ranks.node import Node
from mpidl.ranks.world import Comm


def rehearse(comm: Comm, made: Plan, stock: Stock) -> None:
    """Collective. Make the first rows, try hardware and model, and see whether vectors travel.

    On processors one rank of each node goes before the others where torch is needed, so that a
    fault costs one import of torch, not one on each rank.

    Raises:
        Fault: If rows, model, hardware or backend are not such that the run can begin.
    """
    own = made.hosted(comm.rank)
    with world.agreed(comm):
        if not made.looks:
            made.rows(0, own)
    inner = world.node(comm)
    ranks, wanted = inner.allgather(comm.rank), made.file.training.accelerator
    kind, seat = None, ""
    with world.returned(inner.Free):
        with world.agreed(comm):
            if inner.rank == 0:
                kind = accelerators.chosen(wanted)
        if accelerators.common_kind(comm, kind) != "cpu":
            with world.agreed(comm):
                seat = sharing.identity(accelerators.choose(inner, wanted))
        seats = inner.allgather(seat)
        with world.agreed(comm):
            if inner.rank == 0:
                from mpidl.run import trial

                trial.fits(inner, made, stock, ranks, seats)
    _connect(comm, made, stock)


def _connect(comm: Comm, made: Plan, stock: Stock) -> None:
    """Collective. See whether the backend works between all ranks.

    Raises:
        Fault: If it does not.
    """
    from mpidl.devices import building
    from mpidl.exchange import BACKENDS, survey
    from mpidl.run import build

    if not BACKENDS.properties(made.file.exchange.backend).carries:
        return
    node = Node(comm)
    wanted = made.file.training.accelerator
    with world.returned(node.close):
        with world.agreed(comm):
            hardware = accelerators.choose(node.inner, wanted)
        wiring = build.wired(node, made, Lengths(*building.sizes(made, stock)), hardware)
        survey.require(made.file.exchange.backend, survey.survey(wiring))


def writer(made: Plan) -> bool:
    """Whether the results file is written in parallel.

    Raises:
        Fault: If the run file asks for it and h5py cannot.
    """
    wanted = made.file.record.writer
    able = wanted != "gather" and mpi_library.check_hdf5()
    if wanted == "parallel" and not able:
        raise Fault(
            "record.writer = 'parallel': this h5py was built without MPI; 'auto' and 'gather' work."
        )
    return able
