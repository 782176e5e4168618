"""What a run refuses that neither its file nor its data tell: found before it writes anything."""

from mpidl.components.algorithms import Lengths
from mpidl.config.faults import Fault
from mpidl.devices.data import Stock
from mpidl.plan import Plan
from mpidl.ranks import accelerators, world
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
    world.agree(comm, lambda: None if made.looks else made.rows(0, own))
    inner = world.node(comm)
    ranks = inner.allgather(comm.rank)

    def kind() -> str | None:
        if inner.rank > 0:
            return None
        return accelerators.chosen(made.file.training.accelerator)

    def seat() -> str:
        from mpidl.exchange import survey

        return survey.identity(accelerators.choose(inner, made.file.training.accelerator))

    def attempt() -> None:
        if inner.rank == 0:
            from mpidl.run import trial

            trial.fits(inner, made, stock, ranks, seats)

    with world.returned(inner.Free):
        found = accelerators.alike(comm, world.agree(comm, kind))
        seats = inner.allgather("" if found == "cpu" else world.agree(comm, seat))
        world.agree(comm, attempt)
    _connect(comm, made, stock)


def _connect(comm: Comm, made: Plan, stock: Stock) -> None:
    """Collective. See whether the backend works between all ranks.

    Raises:
        Fault: If it does not.
    """
    from mpidl.devices import building
    from mpidl.exchange import survey
    from mpidl.run import build

    if made.file.exchange.backend not in survey.HOME:
        return
    node = Node(comm)
    wanted = made.file.training.accelerator
    with world.returned(node.close):
        hardware = world.agree(comm, lambda: accelerators.choose(node.inner, wanted))
        wiring = build.wired(node, made, Lengths(*building.sizes(made, stock)), hardware)
        survey.require(made.file.exchange.backend, survey.survey(wiring))


def writer(made: Plan) -> bool:
    """Whether the results file is written in parallel.

    Raises:
        Fault: If the run file asks for it and h5py cannot.
    """
    wanted = made.file.record.writer
    able = wanted != "gather" and world.check_hdf5()
    if wanted == "parallel" and not able:
        raise Fault(
            "record.writer = 'parallel': this h5py was built without MPI; 'auto' and 'gather' work."
        )
    return able
