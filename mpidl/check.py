"""What a run would do, printed without doing it; and what can be named in a run file."""

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np

from mpidl import (
    accelerators,
    graphs,
    network,
    outlook,
    provenance,
    shards,
    strategies,
    world,
)
from mpidl.algorithms import Lengths
from mpidl.plan import KINDS, Plan
from mpidl.registry import Registry
from mpidl.shards import Stock
from mpidl.world import Comm

PICTURED = 40
"""Devices. A larger graph is not drawn, and its devices are not listed one by one."""

WIDE = 2000
"""Devices. The diameter of a larger graph takes too long."""

LISTED = 2_000_000
"""Links. Of more the rows of the mixing matrix take too long to be asked for one by one."""

FLOAT = 4
"""Bytes of a parameter."""


def listing(as_json: bool) -> str:
    """Every name of every kind with its parameters and one line each."""
    kinds = {section: registry.describe() for section, registry in KINDS.items()}
    if as_json:
        return json.dumps(kinds, indent=2, default=str) + "\n"
    lines = []
    for section, registry in KINDS.items():
        lines.append(f"[{section}] {_namer(registry)}")
        for name, (told, parameters) in kinds[section].items():
            given = ", ".join(f"{k} = {json.dumps(v, default=str)}" for k, v in parameters.items())
            lines.append(f"  {name:24} {told}" + (f"\n{'':27}{given}" if given else ""))
        lines.append("")
    return "\n".join(lines)


def _namer(registry: Registry) -> str:
    return "backend" if registry.kind == "exchange backend" else "name"


def check(comm: Comm, plan: Plan, as_json: bool) -> int:
    """Collective. Build everything, train nothing, print what would run on rank 0; exit code 0."""
    stock = shards.provide(comm, plan)
    node = world.node(comm)
    together = node.size == comm.size
    node.Free()
    found = world.agree(
        comm, lambda: facts(plan, stock, comm.size, together) if comm.rank == 0 else None
    )
    if found is not None:
        print(json.dumps(found, indent=2) if as_json else report(plan, found))
    stock.close()
    return 0


def facts(plan: Plan, stock: Stock, ranks: int, together: bool) -> dict[str, Any]:
    """What a check tells, as plain values; ``together`` if all ranks are on one node."""
    from mpidl import build

    graph = plan.graph
    size = build.vector_size(plan, stock)
    travels = plan.algorithm.travels(Lengths(size, size))
    sent, received = traffic(plan, ranks, travels)
    inbox = np.zeros_like(received) if together and shares(plan) else received
    samples = [graph.nodes[device]["samples"] for device in graph]
    found: dict[str, Any] = {
        "name": plan.file.name,
        "devices": plan.devices,
        "ranks": ranks,
        **extent(graph),
        "sources": plan.sources,
        "samples": samples,
        "training_samples": graph.graph["samples"],
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
        found |= outlook.of_graph(graph)
    if plan.changing:
        found["first_links"] = plan.round_graph(0).number_of_edges()
    if not plan.looks:
        found |= weighed(plan)
    if plan.devices <= PICTURED and not plan.looks and not plan.changing:
        rows = plan.rows(0, range(plan.devices))
        found["weights"] = {
            i: {int(j): float(w) for j, w in zip(*row, strict=True)} for i, row in rows.items()
        }
    found["run_file"] = plan.file.text()
    return found


def extent(graph: nx.DiGraph) -> dict[str, Any]:
    """Links, strongly connected components, and the diameter where it is known."""
    parts = graphs.components(graph)
    known = parts == 1 and len(graph) <= WIDE
    return {
        "links": graph.number_of_edges(),
        "components": parts,
        "diameter": int(nx.diameter(graph)) if known else None,
    }


def weighed(plan: Plan) -> dict[str, Any]:
    """What mixing matrices say that are known before the run: all, or that of the first round."""
    if not plan.steady and plan.devices <= outlook.WALKED:
        found = outlook.of_rounds(plan.mixings(), plan.devices, plan.sources)
        return found | ({"stationary": _even(plan)} if plan.algorithm.columns else {})
    if plan.changing:
        return {"long_run": f"the graph changes, and has more than {outlook.WALKED} devices"}
    if not plan.dense:
        return _long_run(plan)
    matrix = plan.matrix()
    moduli = graphs.moduli(matrix)
    found = {
        "spectral_gap": graphs.gap(moduli),
        "moduli": moduli.tolist(),
        "stationary": plan.influence(matrix).tolist(),
    }
    return found | (outlook.of_weights(plan.settled(matrix), plan.sources) if _close(plan) else {})


def _even(plan: Plan) -> list[float]:
    return [1 / plan.devices] * plan.devices


def _close(plan: Plan) -> bool:
    return plan.devices <= outlook.CLOSE


def _long_run(plan: Plan) -> dict[str, Any]:
    """Spectral gap and stationary weights where W is too large to be dense, or why not."""
    if plan.mixing_graph.number_of_edges() > LISTED:
        return {"long_run": f"it has more than {LISTED:,} links"}
    try:
        gap, share = graphs.long_run(strategies.sparse(plan.rows(0, range(plan.devices))))
    except graphs.Unknown as reason:
        return {"long_run": str(reason)}
    told = _even(plan) if plan.algorithm.columns else share.tolist()
    return {"spectral_gap": gap, "stationary": told}


def traffic(plan: Plan, ranks: int, size: int) -> tuple[Any, Any]:
    """Bytes of vectors ``(size,)`` that each rank sends and receives in a round, ``(ranks,)``.

    Where the graph changes they are those of the first one.
    """
    sent, received = np.zeros(ranks, np.int64), np.zeros(ranks, np.int64)
    if plan.uniform and plan.file.exchange.backend in ("auto", "allreduce", "shared"):
        away = size * FLOAT * (ranks - 1) // ranks
        sent += (np.bincount(plan.hosts, minlength=ranks) + 1) * away
        return sent, sent.copy()
    wanted = plan.wanted(0) if follows(plan) else None
    links = plan.mixing_graph if wanted is None else wanted
    pairs = {(j, int(plan.hosts[i])) for j, i in links.edges}
    for source, target in pairs:
        if plan.hosts[source] != target:
            sent[plan.hosts[source]] += size * FLOAT
            received[target] += size * FLOAT
    return sent, received


def follows(plan: Plan) -> bool:
    """Whether only those vectors travel that a round of a graph which changes wants."""
    exchange = plan.file.exchange
    return exchange.backend in ("auto", "shared", "mpi", "ipc") and exchange.mixing != "delayed"


def shares(plan: Plan) -> bool:
    """Whether vectors lie in host memory that the ranks of a node share."""
    exchange = plan.file.exchange
    in_place = exchange.backend in ("auto", "shared") and exchange.mixing != "delayed"
    return in_place and accelerators.chosen(plan.file.training.accelerator) == "cpu"


def memory(plan: Plan, stock: Stock, inbox: Any, size: int) -> Any:
    """Bytes that each rank holds beside torch itself and activations, ``(ranks,)``.

    Args:
        plan: The run.
        stock: Its data.
        inbox: Bytes of the vectors that each rank keeps for others, ``(ranks,)``.
        size: P.
    """
    hosted = np.bincount(plan.hosts, minlength=len(inbox))
    sample = int(np.prod(stock.traits.shape.inputs)) * (1 if stock.traits.sequence else FLOAT) + 8
    counts = np.array([plan.graph.nodes[device]["samples"] for device in plan.graph])
    shards_held = np.bincount(plan.hosts, weights=counts, minlength=len(hosted)) * sample
    return (hosted * plan.numbers(size) * FLOAT + inbox + shards_held).astype(np.int64)


def report(plan: Plan, found: dict[str, Any]) -> str:
    """The facts as a page of text."""
    size = f"{found['devices']} devices on {found['ranks']} ranks"
    lines = [f"{found['name']}: {heading(plan, found, size)}"]
    if plan.devices <= PICTURED:
        lines += ["", graphs.picture(plan.graph), ""]
    lines += _devices(plan, found) if plan.devices <= PICTURED else _ranges(plan, found)
    lines += [*provenance.sharing(plan), *provenance.emulated(plan)]
    if "simulated_seconds" in found:
        rounds = plan.file.training.rounds
        lines.append(f"{rounds} rounds take {found['simulated_seconds']:,.4g} simulated seconds")
    lines += outlook.narrow(found) if _close(plan) else [outlook.BEYOND]
    if "spectral_gap" in found:
        lines += [long_run(found), *_holds(plan, found)]
    if "passage" in found:
        lines += outlook.knowledge(found, plan.sources)
    if "first_links" in found:
        moving = graphs.sequence(plan.graph)
        period = moving.period if moving is not None else None
        again = (
            "never repeats itself" if period is None else f"repeats itself after {period} rounds"
        )
        lines.append(
            f"the graph changes and {again}: the first round has {found['first_links']} of these "
            f"links, {plan.file.training.rounds} rounds have all"
        )
    if "long_run" in found:
        lines.append(f"spectral gap and influence of W are left out: {found['long_run']}")
    if plan.looks:
        lines.append(
            f"{plan.file.strategy.name} weights follow from the vectors that arrive: before a run "
            "nobody knows its mixing matrices, their spectral gap or influence"
        )
    tests, count = found["test_samples"], found["parameters"]
    lines += [
        f"OOD data on {found['sources'] or 'no device'}; "
        f"tests: {tests['iid']} IID and {tests['ood']} OOD samples",
        f"{plan.file.model.name}: {count:,} parameters, {_bytes(count * FLOAT)}",
        f"{'the first' if plan.changing else 'a'} round sends "
        f"{_span(found['bytes_sent_per_rank'])} and receives "
        f"{_span(found['bytes_received_per_rank'])} per rank; memory per rank "
        f"{_span(found['memory_per_rank'])} beside torch and activations",
        "",
        inspect.cleandoc(found["run_file"]),
    ]
    return "\n".join(lines)


def heading(plan: Plan, found: Mapping[str, Any], size: str) -> str:
    """What graph it is, of a size, from :func:`extent`."""
    parts = found["components"]
    whole = "connected" if parts == 1 else f"{parts} components"
    wide = f", diameter {found['diameter']}" if found["diameter"] is not None else ""
    if parts == 1 and not wide:
        wide = f" (its diameter is not sought beyond {WIDE:,} devices)"
    graph = plan.file.topology.file or plan.file.topology.name
    return f"{graph} graph of {size}, {found['links']} directed links, {whole}{wide}"


def long_run(found: Mapping[str, Any]) -> str:
    """Spectral gap and who leads the consensus, from :func:`weighed`, a sentence."""
    influence, gap = found["stationary"], found["spectral_gap"]
    told = ", ".join(f"{d} ({influence[d]:#.3g})" for d in leaders(influence)[:3])
    begin = f"spectral gap {gap:.4g}"
    if "followed" in found:
        agreed, begin = found["agreed"], "W is not the same in every round: "
        begin += (
            f"over {found['followed']} of them disagreement shrinks to {1 - gap:.4g} of it a round"
            if agreed is None
            else f"all agree after {agreed} of them"
        )
    return f"{begin}; consensus is led by {told or 'nobody'}"


def _holds(plan: Plan, found: Mapping[str, Any]) -> list[str]:
    return [] if plan.steady or "followed" in found else [outlook.CHANGING]


def leaders(influence: Sequence[float]) -> list[int]:
    """Devices by descending influence; nobody where all have the same, to ten digits."""
    shares = np.round(influence, 10)
    alike = len(shares) > 1 and float(np.ptp(shares)) == 0
    return [] if alike else np.argsort(-shares, kind="stable").tolist()


def _devices(plan: Plan, found: dict[str, Any]) -> list[str]:
    weights, passage = found.get("weights"), found.get("passage")
    more = ("  influence" + "  passage" * bool(passage) + "  weights") if weights else ""
    lines = ["device  rank  samples (OOD)" + more]
    for device, rank in enumerate(plan.hosts):
        ood = found["ood_samples"][device]
        held = f"{found['samples'][device]}" + (f" ({ood})" if ood else "")
        line = f"{device:6}  {rank:4}  {held:>13}"
        if weights:
            told = "  ".join(f"{j}:{w:.3f}" for j, w in weights[device].items())
            arrival = f"  {outlook.rounds(passage[device]):>7}" if passage else ""
            line += f"  {found['stationary'][device]:9.4f}{arrival}  {told}"
        lines.append(line)
    return [*lines, ""]


def _ranges(plan: Plan, found: dict[str, Any]) -> list[str]:
    samples = found["samples"]
    lines = [f"samples per device {min(samples)} to {max(samples)}"]
    if plan.file.strategy.name in ("betweenness", "closeness"):
        lines.append(f"{plan.file.strategy.name} is exact, over the paths between all devices")
    return lines


def _span(values: list[int]) -> str:
    low, high = _bytes(min(values)), _bytes(max(values))
    return low if low == high else f"{low} to {high}"


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""
