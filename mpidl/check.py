"""What a run would do, printed without doing it; and what can be named in a run file."""

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mpidl import facts, graphs, outlook, provenance, shards, world
from mpidl.plan import KINDS, Plan
from mpidl.registry import Registry
from mpidl.world import Comm


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
        comm, lambda: facts.of_run(plan, stock, comm.size, together) if comm.rank == 0 else None
    )
    if found is not None:
        print(json.dumps(found, indent=2) if as_json else report(plan, found))
    stock.close()
    return 0


def report(plan: Plan, found: dict[str, Any]) -> str:
    """The facts as a page of text."""
    size = f"{found['devices']} devices on {found['ranks']} ranks"
    lines = [f"{found['name']}: {heading(plan, found, size)}"]
    if plan.devices <= facts.PICTURED:
        lines += ["", graphs.picture(plan.graph), ""]
    lines += _devices(plan, found) if plan.devices <= facts.PICTURED else _ranges(plan, found)
    lines += [*provenance.sharing(plan), *provenance.emulated(plan)]
    if "simulated_seconds" in found:
        rounds = plan.file.training.rounds
        lines.append(f"{rounds} rounds take {found['simulated_seconds']:,.4g} simulated seconds")
    lines += outlook.narrow(found) if plan.devices <= outlook.CLOSE else [outlook.BEYOND]
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
        f"{plan.file.model.name}: {count:,} parameters, {_bytes(count * facts.FLOAT)}",
        f"{'the first' if plan.changing else 'a'} round sends "
        f"{_span(found['bytes_sent_per_rank'])} and receives "
        f"{_span(found['bytes_received_per_rank'])} per rank; memory per rank "
        f"{_span(found['memory_per_rank'])} beside torch and activations",
        "",
        inspect.cleandoc(found["run_file"]),
    ]
    return "\n".join(lines)


def heading(plan: Plan, found: Mapping[str, Any], size: str) -> str:
    """What graph it is, of a size, from :func:`mpidl.facts.extent`."""
    parts = found["components"]
    whole = "connected" if parts == 1 else f"{parts} components"
    wide = f", diameter {found['diameter']}" if found["diameter"] is not None else ""
    if parts == 1 and not wide:
        wide = f" (its diameter is not sought beyond {facts.WIDE:,} devices)"
    graph = plan.file.topology.file or plan.file.topology.name
    return f"{graph} graph of {size}, {found['links']} directed links, {whole}{wide}"


def long_run(found: Mapping[str, Any]) -> str:
    """Spectral gap and who leads the consensus, from :func:`mpidl.facts.weighed`, a sentence."""
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
