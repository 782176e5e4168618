"""Facts of a run to be, as plain values: its graph, weights, samples, bytes and memory."""

from typing import Any

import networkx as nx
import numpy as np

from mpidl.components import graphs, strategies
from mpidl.components.algorithms import Lengths
from mpidl.components.graphs import prediction
from mpidl.devices.data import Stock
from mpidl.exchange import BACKENDS
from mpidl.exchange.traffic import Load
from mpidl.plan import Plan, network, warnings
from mpidl.ranks import accelerators, sharing

PICTURED = 40
"""Devices. A larger graph is not drawn, and its devices are not listed one by one."""

WIDE = 2000
"""Devices. The diameter of a larger graph takes too long."""

LISTED = 2_000_000
"""Links. Of more the rows of the mixing matrix take too long to be asked for one by one."""

FLOAT = 4
"""Bytes of a parameter."""


def of_run(plan: Plan, stock: Stock, ranks: int, together: bool) -> dict[str, Any]:
    """What a check tells, as plain values; ``together`` if all ranks are on one node."""
    from mpidl.devices import batching, building

    graph = plan.graph
    size, learned = building.sizes(plan, stock)
    travels = plan.algorithm.travels(Lengths(size, learned))
    sent, received = traffic(plan, ranks, travels)
    inbox = np.zeros_like(received) if together and shares(plan) else received
    content = stock.traits.content
    found: dict[str, Any] = {
        "name": plan.file.name,
        "devices": plan.devices,
        "ranks": ranks,
        **extent(graph),
        "notes": [*plan.topology.notes],
        "names": [*plan.topology.names],
        "sources": plan.sources,
        "data": {"sha256": content.digest, "published": content.published},
        "samples": [*stock.samples],
        "training_samples": stock.placed,
        "ood_samples": stock.ood_samples.tolist(),
        "test_samples": {kind: len(labels) for kind, (_, labels) in stock.tests.items()},
        "parameters": size,
        "bytes_sent_per_rank": sent.tolist(),
        "bytes_received_per_rank": received.tolist(),
        "memory_per_rank": memory(plan, stock, inbox, size).tolist(),
        "attackers": plan.attackers,
        "stragglers": plan.stragglers,
    }
    if network.takes_time(plan.file.network):
        last = plan.clock(travels * FLOAT)(plan.file.training.rounds - 1)
        found["simulated_seconds"] = float(last.max())
    if _close(plan):
        found |= prediction.of_graph(graph)
    if plan.changing:
        found["first_links"] = plan.round_graph(0).number_of_edges()
    if not plan.looks:
        found |= weighed(plan)
    if plan.devices <= PICTURED and not plan.looks and not plan.changing:
        rows = plan.rows(0, range(plan.devices))
        found["weights"] = {
            i: {int(j): float(w) for j, w in zip(*row, strict=True)} for i, row in rows.items()
        }
    kind = accelerators.chosen(plan.file.training.accelerator)
    sharers = sharing.expected_sharers(ranks, kind) if together else 1
    found["cautions"] = [*warnings.of(plan), *warnings.crowded(plan, sharers)]
    found["advice"] = batching.advice(plan, building.sketch(plan, stock), size)
    found["run_file"] = plan.file.text()
    return found


def extent(graph: nx.DiGraph) -> dict[str, Any]:
    """Links, strongly connected components, and the diameter where it is known."""
    parts = graphs.components(graph)
    known = parts == 1 and len(graph) <= WIDE
    return {
        "links": graph.number_of_edges(),
        "components": parts,
        "diameter": graphs.diameter(graph) if known else None,
    }


def weighed(plan: Plan) -> dict[str, Any]:
    """What mixing matrices say that are known before the run: all, or that of the first round."""
    if not plan.steady and plan.devices <= prediction.WALKED:
        found = prediction.of_rounds(plan.mixings(), plan.devices, plan.sources)
        return found | ({"stationary": _even(plan)} if plan.alike else {})
    if plan.changing:
        return {"long_run": f"the graph changes, and has more than {prediction.WALKED} devices"}
    if not plan.dense:
        return _long_run(plan)
    matrix = plan.matrix()
    moduli = graphs.moduli(matrix)
    found = {
        "spectral_gap": graphs.gap(moduli),
        "moduli": moduli.tolist(),
        "stationary": plan.influence(matrix).tolist(),
    }
    return found | (
        prediction.of_weights(plan.settled(matrix), plan.sources) if _close(plan) else {}
    )


def _even(plan: Plan) -> list[float]:
    return [1 / plan.devices] * plan.devices


def _close(plan: Plan) -> bool:
    return plan.devices <= prediction.CLOSE


def _long_run(plan: Plan) -> dict[str, Any]:
    """Spectral gap and stationary weights where W is too large to be dense, or why not."""
    if plan.mixing_graph.number_of_edges() > LISTED:
        return {"long_run": f"it has more than {LISTED:,} links"}
    try:
        matrix = strategies.sparse(plan.rows(0, range(plan.devices)))
        gap, share = graphs.long_run(matrix.T if plan.algorithm.columns else matrix)
    except graphs.Unknown as reason:
        return {"long_run": str(reason)}
    told = _even(plan) if plan.alike else share.tolist()
    return {"spectral_gap": gap, "stationary": told}


def traffic(plan: Plan, ranks: int, size: int) -> tuple[Any, Any]:
    """Bytes of vectors ``(size,)`` that each rank sends and receives in a round, ``(ranks,)``.

    Where the graph changes they are those of the first one.
    """
    exchange = plan.file.exchange
    wanted = None if exchange.mixing == "delayed" else plan.wanted(0)
    links = plan.mixing_graph if wanted is None else wanted
    load = Load(links, plan.hosts, ranks, size * FLOAT, plan.uniform)
    return BACKENDS.properties(exchange.backend).traffic(load)


def shares(plan: Plan) -> bool:
    """Whether vectors lie in host memory that the ranks of a node share."""
    exchange = plan.file.exchange
    in_place = BACKENDS.properties(exchange.backend).shares and exchange.mixing != "delayed"
    return in_place and accelerators.chosen(plan.file.training.accelerator) == "cpu"


def memory(plan: Plan, stock: Stock, inbox: Any, size: int) -> Any:
    """Bytes that each rank holds beside torch itself and activations, ``(ranks,)``.

    Args:
        plan: The run.
        stock: Its data.
        inbox: Bytes of the vectors that each rank keeps for others, ``(ranks,)``.
        size: P.
    """
    kept = np.array([plan.numbers(size, rank) for rank in range(len(inbox))]) * FLOAT
    sample = int(np.prod(stock.traits.shape.inputs)) * (1 if stock.traits.sequence else FLOAT) + 8
    shards_held = np.bincount(plan.hosts, weights=stock.samples, minlength=len(inbox)) * sample
    return (kept + inbox + shards_held).astype(np.int64)
