"""Check of a run with its data and model, without training."""

import json
from dataclasses import replace

import numpy as np

from mpidl.devices.data import RunData
from mpidl.plan import Plan, warnings
from mpidl.preview import estimates, facts
from mpidl.preview.check import report
from mpidl.preview.facts import Counts, Facts
from mpidl.ranks import mpi_library, world
from mpidl.ranks.world import Comm


def check(comm: Comm, plan: Plan, run_data: RunData, as_json: bool) -> int:
    """Collective. Print on rank 0 what would run, with data that can run; exit code 0."""
    found = foresee(comm, plan, run_data)
    if found is not None:
        print(json.dumps(facts.plain(found), indent=2) if as_json else report(plan, found))
    return 0


def foresee(comm: Comm, plan: Plan, run_data: RunData) -> Facts | None:
    """Collective. The facts of a run that can run, on rank 0; None on others."""
    node = world.node(comm)
    together = node.size == comm.size
    node.Free()
    found = None
    with world.agreed(comm):
        if comm.rank == 0:
            found = _facts(plan, run_data, comm.size, together)
    return found


def _facts(plan: Plan, run_data: RunData, ranks: int, together: bool) -> Facts:
    from mpidl.devices import batching, building

    size, learned = building.sizes(plan, run_data)
    advice = batching.advice(plan, building.sketch(plan, run_data), size)
    found = estimates.of_run(plan, size, learned, counted(run_data), ranks, together, advice)
    told = warnings.untaught(run_data.traits.untaught, len(run_data.traits.classes))
    cautions = [*found.cautions, *told, *filter(None, [mpi_library.warning()])]
    return replace(found, cautions=cautions)


def counted(run_data: RunData) -> Counts:
    """The data of a run in numbers."""
    traits = run_data.traits
    number = 1 if traits.sequence else estimates.FLOAT
    return Counts(
        content=traits.content,
        samples=run_data.samples,
        placed=run_data.placed,
        ood=run_data.ood_samples.tolist(),
        tests={kind: len(labels) for kind, (_, labels) in run_data.tests.items()},
        sample_bytes=int(np.prod(traits.shape.inputs)) * number + np.dtype(np.int64).itemsize,
    )
