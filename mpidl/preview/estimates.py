"""Estimates of a run before it: of its graph, weights, bytes and memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mpidl.components import graphs, strategies
from mpidl.components.algorithms import Lengths
from mpidl.components.graphs import prediction
from mpidl.exchange import BACKENDS
from mpidl.exchange.traffic import Load
from mpidl.plan import Plan, network, warnings
from mpidl.preview.facts import Counts, Facts, Weighed
from mpidl.ranks import accelerators, sharing

PICTURED = 40
"""Most devices of a graph that is drawn, and whose devices are listed one by one."""

WIDE = 2000
"""Most devices of a graph whose diameter is computed; of a larger one it takes too long."""

LISTED = 2_000_000
"""Most links for which the mixing weights of all devices are computed before a run."""

FLOAT = 4
"""Bytes of a parameter."""


def of_run(
    plan: Plan,
    size: int,
    learned: int,
    counts: Counts,
    ranks: int,
    together: bool,
    advice: Sequence[str],
) -> Facts:
    """The facts of a planned run.

    Args:
        plan: The run.
        size: P.
        learned: T, the number of learned values.
        counts: Its data in numbers.
        ranks: The number of ranks.
        together: Whether all ranks are on one node.
        advice: Sentences on how to save time.
    """
    travels = plan.algorithm.travels(Lengths(size, learned))
    sent, received = traffic(plan, ranks, travels)
    inbox = np.zeros_like(received) if together and shares(plan) else received
    last = None
    if network.takes_time(plan.file.network):
        last = plan.clock(travels * FLOAT)(plan.file.training.rounds - 1).max()
    kind = accelerators.chosen(plan.file.training.accelerator)
    sharers = sharing.expected_sharers(ranks, kind) if together else 1
    return Facts(
        ranks=ranks,
        data=counts.content,
        samples=[*counts.samples],
        training_samples=counts.placed,
        ood_samples=[*counts.ood],
        test_samples=counts.tests,
        parameters=size,
        bytes_sent_per_rank=sent.tolist(),
        bytes_received_per_rank=received.tolist(),
        memory_per_rank=memory(plan, counts, inbox, size).tolist(),
        attackers=plan.attackers,
        stragglers=plan.stragglers,
        simulated_seconds=None if last is None else float(last),
        first_links=plan.round_graph(0).number_of_edges() if plan.changing else None,
        weighed=Weighed() if plan.looks else weighed(plan),
        weights=_weights(plan),
        cautions=[*warnings.of(plan), *warnings.crowded(plan, sharers)],
        advice=advice,
        run_file=plan.file.text(),
        **of_graph(plan),
    )


def _weights(plan: Plan) -> dict[int, dict[int, float]] | None:
    if plan.devices > PICTURED or plan.looks or plan.changing:
        return None
    weights = plan.mixing_weights(0, range(plan.devices))
    return {i: {int(j): float(w) for j, w in zip(*own, strict=True)} for i, own in weights.items()}


def of_graph(plan: Plan) -> dict[str, Any]:
    """The facts of the graph of any plan, by the attributes of :class:`Facts`."""
    graph, parts = plan.graph, graphs.components(plan.graph)
    known = parts == 1 and len(graph) <= WIDE
    return {
        "name": plan.file.name,
        "devices": plan.devices,
        "links": graph.number_of_edges(),
        "components": parts,
        "diameter": graphs.diameter(graph) if known else None,
        "notes": [*plan.topology.notes],
        "names": [*plan.topology.names],
        "sources": plan.sources,
        **(prediction.of_graph(graph) if _close(plan) else {}),
    }


def weighed(plan: Plan) -> Weighed:
    """Properties of the mixing matrices known before the run: of all, or of the first round's."""
    if not plan.steady and plan.devices <= prediction.WALKED:
        found = prediction.of_rounds(plan.mixings(), plan.devices, plan.sources)
        return Weighed(**found | ({"stationary": _even(plan)} if plan.alike else {}))
    if plan.changing:
        reason = f"the graph changes, and has more than {prediction.WALKED} devices"
        return Weighed(long_run=reason)
    if not plan.dense:
        return _long_run(plan)
    matrix = plan.matrix()
    moduli = graphs.moduli(matrix)
    return Weighed(
        spectral_gap=graphs.gap(moduli),
        moduli=moduli.tolist(),
        stationary=plan.influence(matrix).tolist(),
        **(prediction.of_weights(plan.settled(matrix), plan.sources) if _close(plan) else {}),
    )


def _even(plan: Plan) -> list[float]:
    return [1 / plan.devices] * plan.devices


def _close(plan: Plan) -> bool:
    return plan.devices <= prediction.CLOSE


def _long_run(plan: Plan) -> Weighed:
    """Spectral gap and stationary weights of a W too large to be dense, or the reason why not."""
    if plan.mixing_graph.number_of_edges() > LISTED:
        return Weighed(long_run=f"it has more than {LISTED:,} links")
    try:
        matrix = strategies.sparse(plan.mixing_weights(0, range(plan.devices)))
        gap, share = graphs.long_run(matrix.T if plan.algorithm.columns else matrix)
    except graphs.Unknown as reason:
        return Weighed(long_run=str(reason))
    stationary = _even(plan) if plan.alike else share.tolist()
    return Weighed(spectral_gap=gap, stationary=stationary)


def traffic(plan: Plan, ranks: int, size: int) -> tuple[Any, Any]:
    """Bytes of vectors ``(size,)`` that each rank sends and receives in a round, ``(ranks,)``.

    If the graph changes, they are those of the first round.
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


def memory(plan: Plan, counts: Counts, inbox: Any, size: int) -> Any:
    """Bytes that each rank holds beside torch itself and activations, ``(ranks,)``.

    Args:
        plan: The run.
        counts: Its data in numbers.
        inbox: Bytes of the vectors that each rank keeps for others, ``(ranks,)``.
        size: P.
    """
    kept = np.array([plan.numbers(size, rank) for rank in range(len(inbox))]) * FLOAT
    held = np.bincount(plan.hosts, weights=counts.samples, minlength=len(inbox))
    return (kept + inbox + held * counts.sample_bytes).astype(np.int64)
