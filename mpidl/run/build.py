"""Building of a run's parts from plan and data, once and in order on every rank."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from mpidl.components.algorithms import Lengths
from mpidl.devices import building
from mpidl.devices.batch import Batch
from mpidl.devices.data import RunData
from mpidl.devices.gossip import Learner, LocalGossip
from mpidl.exchange import BACKENDS, Wiring
from mpidl.plan import Mixing, Plan, codes
from mpidl.ranks import accelerators, sharing, world
from mpidl.ranks.node import Board, Node
from mpidl.ranks.world import Comm
from mpidl.run import provenance
from mpidl.run.hardware import of_all
from mpidl.run.opening import lay_out
from mpidl.run.rounds import Parts
from mpidl.run.snapshot import Snapshot, origin, recognize
from mpidl.storage import code_records, schema
from mpidl.storage.checkpoint import LoadedCheckpoint, SampleShape, Saver, Story
from mpidl.storage.code_records import CodeRecord
from mpidl.storage.recorder import Recorder
from mpidl.storage.round_values import FLAGS, width
from mpidl.storage.run_series import RunSeries

Array = npt.NDArray[Any]


@contextmanager
def parts(
    comm: Comm,
    plan: Plan,
    run_data: RunData,
    path: Path,
    parallel: bool,
    found: LoadedCheckpoint | None = None,
) -> Iterator[Parts]:
    """Collective. Build all parts, and free communicators and memory at the end.

    Args:
        comm: All ranks.
        plan: The plan of the run.
        run_data: The data.
        path: The results file to write.
        parallel: Whether it is written in parallel.
        found: The checkpoint with which the run goes on; None if it begins.

    Raises:
        Fault: If the model does not fit the data or the checkpoint, the accelerator is missing, or
            the disk refuses the results file.
        Breakdown: If an accelerator has no memory left, now or later.
    """
    with accelerators.explained(), ExitStack() as lent:
        yield _build(comm, plan, run_data, path, parallel, found, lent.enter_context)


def _build(
    comm: Comm,
    plan: Plan,
    run_data: RunData,
    path: Path,
    parallel: bool,
    found: LoadedCheckpoint | None,
    lend: Callable[[AbstractContextManager[None]], None],
) -> Parts:
    """Collective. The parts; contexts that free their memory are entered by ``lend``."""
    training = plan.file.training
    lend(world.returned(run_data.close))
    node = Node(comm)
    lend(world.returned(node.close))
    with world.agreed(comm):
        hardware = accelerators.choose(node.inner, training.accelerator)
    accelerators.common_kind(comm, hardware.type)
    lend(unchanged(hardware))
    lend(accelerators.rounding(training.precision))
    torch.set_num_threads(node.share if training.threads == "auto" else training.threads)
    with world.agreed(comm):
        aim = building.objective(plan, run_data)
        devices = building.make_devices(plan, run_data, comm.rank, hardware, aim)
    flats = {number: device.flat for number, device in devices.items()}
    first = next(iter(flats.values()))
    wiring = wired(node, plan, first, hardware)
    with world.agreed(comm):
        exchange = BACKENDS.call(plan.file.exchange.backend, wiring)
    lend(world.returned(exchange.close))
    gossip = LocalGossip(comm, plan, flats, exchange)
    with world.agreed(comm):
        together = building.side_by_side(plan, run_data, len(devices), hardware, aim)
    sharers = sharing.count(node.inner, hardware)
    batch = Batch(devices, training, sharers) if together else None
    snapshot = Snapshot(devices, batch, gossip, run_data.shards)
    of_run = building.series(run_data, aim)
    columns = width(of_run)
    if found is not None:
        with world.agreed(comm):
            snapshot.check(found, columns - FLAGS)
        snapshot.restore(found)
    used = of_all(comm, hardware, sharers, together)
    backend = type(exchange).__name__.lower()
    attributes = provenance.attributes(comm, plan, run_data, backend, used)
    story, counted = None, 0
    with world.agreed(comm):
        if attributes:
            story = describe_run(plan, run_data, of_run, attributes, found)
            counted = lay_out(path, plan, run_data, of_run, attributes, first.size, found)
    book = Recorder(
        node, path, plan.hosts, plan.file.record, parallel, len(snapshot.rounds), counted
    )
    lend(world.returned(book.give_up))
    saver = Saver(comm, path, plan.file.checkpoint, story)
    lend(world.returned(saver.close))
    tests = {
        kind: building.samples(run_data, *run_data.tests[kind], hardware) for kind in schema.KINDS
    }
    board = Board(node, plan.hosts, columns)
    clock = plan.clock(wiring.size * wiring.dtype.itemsize)
    return Parts(
        comm,
        plan,
        devices,
        batch,
        gossip,
        clock,
        board,
        tests,
        of_run,
        book,
        snapshot,
        saver,
        used,
    )


@contextmanager
def unchanged(hardware: torch.device) -> Iterator[None]:
    """Restore torch's number of threads and its random states at the end of the context."""
    threads = torch.get_num_threads()
    kind = "cuda" if hardware.type == "cpu" else hardware.type
    devices = [] if hardware.type == "cpu" else [hardware]
    with torch.random.fork_rng(devices, device_type=kind):
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def wired(
    node: Node,
    mixing: Mixing,
    some: Learner | Lengths,
    hardware: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Wiring:
    """The wiring from which the exchange of a run is built.

    Args:
        node: The ranks of this node.
        mixing: The mixing of the run.
        some: Any device, or its lengths, from which that of a message follows.
        hardware: The hardware whose memory holds the vectors.
        dtype: The type of the vectors' numbers.
    """
    return Wiring(
        node,
        mixing.hosts,
        mixing.mixing_graph,
        mixing.algorithm.travels(Lengths(some.size, some.learned, itemsize=dtype.itemsize)),
        hardware,
        dtype,
        uniform=mixing.uniform,
        delayed=mixing.settings.exchange.mixing == "delayed",
        changing=mixing.changing,
        accelerator_aware=mixing.settings.exchange.accelerator_aware,
    )


def describe_run(
    plan: Plan,
    run_data: RunData,
    of_run: RunSeries,
    attributes: dict[str, Any],
    found: LoadedCheckpoint | None,
) -> Story:
    """The description of this run in its checkpoints; a resumed run continues the earlier one."""
    checksums, resumed = origin(plan, run_data.tests, of_run), list[int]()
    records, round_ = list[CodeRecord](), 0
    if found is not None:
        recognize(found, plan, checksums)
        before, round_ = found.head.story, found.head.round
        records, resumed = before.code, [*before.resumed, round_]
        attributes |= {"started": before.started, "resumed": ", ".join(map(str, resumed))}
    records = code_records.joined(records, codes(plan.file), round_)
    attributes |= code_records.attributes(records)
    shape = run_data.traits.shape
    return Story(
        run_file=attributes["run_file"],
        origin=checksums,
        started=attributes["started"],
        resumed=resumed,
        mpidl=attributes["mpidl"],
        commit=attributes["commit"],
        code=records,
        samples=SampleShape(
            inputs=list(shape.inputs), outputs=shape.outputs, vocabulary=shape.vocabulary
        ),
    )
