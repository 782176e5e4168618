"""Opening of a results file, with its contents before the first round."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.components import graphs
from mpidl.components.strategies import STRATEGIES
from mpidl.devices.data import RunData
from mpidl.plan import Mixing, Plan, differences
from mpidl.storage import layout, results_file, schema
from mpidl.storage.checkpoint import LoadedCheckpoint
from mpidl.storage.round_values import Series
from mpidl.storage.run_series import RunSeries

Array = npt.NDArray[Any]

LAGS = 10_000_000
"""Most links times rounds for which the file says which links failed or were late."""


def lay_out(
    path: Path,
    plan: Plan,
    run_data: RunData,
    of_run: RunSeries,
    attributes: dict[str, Any],
    size: int,
    found: LoadedCheckpoint | None,
) -> int:
    """Create the results file with all that is known before the run; return its past rounds."""
    past = dict[str, Array]()
    series = recorded(plan, of_run)
    if found is not None:
        known = Series(np.swapaxes(found.everywhere("rows"), 0, 1), of_run)
        past = results_file.inherit(
            path, {key: known[key] for key in series}, lambda text: not differences(text, plan.file)
        )
    contents = layout.Contents(
        sizes=plan.sizes(of_run.classes),
        series=series,
        static={"graph": graph_arrays(plan), "placement": placement_arrays(plan, run_data)},
        labels={"class": run_data.traits.classes},
        attributes={**attributes, "parameters": size},
        past=past,
    )
    layout.create(path, contents)
    return min(map(len, past.values()), default=0)


def recorded(plan: Plan, of_run: RunSeries) -> dict[str, schema.Variable]:
    """The series that a run records, in order; ``of_run`` are those that it can have."""
    moment = plan.file.evaluation.moment
    moments = tuple(schema.MOMENTS) if moment == "both" else (moment,)
    return {
        key: variable
        for key, variable in of_run.variables.items()
        if not key.endswith(tuple(schema.MOMENTS)) or key.endswith(moments)
        if key not in schema.SPECIAL or key in plan.algorithm.series
    }


def graph_arrays(plan: Plan) -> dict[str, Array]:
    """The variables of the group ``graph`` of a run; see :func:`mixing_arrays`."""
    return mixing_arrays(plan, plan.hops(), plan.file.training.rounds)


def mixing_arrays(plan: Mixing, hops: Array, rounds: int) -> dict[str, Array]:
    """The variables of the group ``graph``; those of W only if it is known and N is not too large.

    ``lag``, by how much links are late or that they are missing, is stored if links differ, up to
    :data:`LAGS`. If the topology changes, W is that of round 0, without its long-run numbers.

    Args:
        plan: The plan of gossip.
        hops: Links from the nearest OOD source to each device, ``(N,)``; -1 without one.
        rounds: R; 0 if that is not known.
    """
    graph = plan.graph
    edges = graphs.ends(graph)
    by = STRATEGIES.properties(plan.settings.strategy.name).centrality or "degree"
    arrays: dict[str, Array] = {
        "edges": edges,
        "probability": graphs.chances(graph),
        "centrality": graphs.centrality(plan.topology.measured, by),
        "hops": hops,
    }
    if len(edges) and plan.topology.sequence is None and plan.topology.weighted:
        arrays["weight"] = graphs.weights(graph)
    if names := plan.topology.names:
        arrays["name"] = np.array(names, object)
    if rounds and plan.uneven and not plan.complete and rounds * len(edges) <= LAGS:
        arrays["lag"] = np.stack([plan.lags(round_) for round_ in range(rounds)])
    if plan.dense:
        matrix = plan.matrix()
        arrays["W"] = plan.settled(matrix)
        if not plan.changing:
            arrays["stationary"] = plan.influence(matrix)
            arrays["eigenvalue"] = graphs.moduli(matrix)
    return arrays


def placement_arrays(plan: Plan, run_data: RunData) -> dict[str, Array]:
    """The variables of the group ``placement`` of a run."""
    labels = {"labels": run_data.label_counts} if run_data.traits.classes else {}
    return {
        "samples": np.array(run_data.samples),
        "ood_samples": run_data.ood_samples,
        **mixing_placement(plan, plan.sources),
        **labels,
    }


def mixing_placement(plan: Mixing, sources: Sequence[int] = ()) -> dict[str, Array]:
    """The variables of the group ``placement`` that need no data.

    Args:
        plan: The plan of gossip.
        sources: The devices with OOD data.
    """
    devices = np.arange(plan.devices)
    return {
        "source": np.isin(devices, sources).astype(np.int64),
        "attacker": np.isin(devices, plan.attackers).astype(np.int64),
        "rank": plan.hosts,
    }
