"""The check of a run: its facts as a page of text."""

import inspect
from collections.abc import Sequence

import numpy as np

from mpidl.components import graphs
from mpidl.components.strategies import STRATEGIES
from mpidl.plan import Plan, network, sentences
from mpidl.preview import estimates, forecast
from mpidl.preview.facts import Advice, Facts, Weighed

NONE = 1e-12
"""The largest spectral gap that counts as rounding of 0."""

NAME = 24
"""Characters of a device's name in a table."""


def report(plan: Plan, found: Facts) -> str:
    """The facts as a page of text."""
    size = sentences.hosting(plan.devices, found.ranks)
    pictured = plan.devices <= estimates.PICTURED
    lines = [f"{found.name}: {heading(plan, found, size)}", *changes(plan)]
    lines += ["", graphs.picture(plan.topology), ""] if pictured else []
    lines += _devices(plan, found) if pictured else _ranges(plan, found)
    lines += found.notes
    if found.data is not None:
        lines += sentences.data(plan, found.data)
    lines += [*sentences.sharing(plan.devices, found.training_samples), *sentences.emulated(plan)]
    if found.simulated_seconds is not None:
        rounds, seconds = plan.file.training.rounds, found.simulated_seconds
        lines.append(f"{rounds} rounds take {_counted(seconds)} simulated seconds")
    lines += forecast.narrow(found)
    lines += [*_mixing(plan, found.weighed), *found.cautions, *_costs(plan, found)]
    if not isinstance(found.advice, Advice):
        lines += found.advice or ()
    return "\n".join([*lines, "", inspect.cleandoc(found.run_file)])


def _counted(value: float) -> str:
    return f"{value:.4g}" if value < 1000 else f"{value:,.0f}"


def _mixing(plan: Plan, found: Weighed) -> list[str]:
    """Sentences on W, as far as it is known."""
    if plan.looks:
        return [
            f"{plan.file.strategy.name} weights follow from the vectors that arrive: before a run "
            "nobody knows its mixing matrices, their spectral gap or influence"
        ]
    lines = []
    if found.spectral_gap is not None:
        lines += [*_holds(plan, found), long_run(found)]
    if found.passage is not None:
        lines += forecast.knowledge(found, plan.sources)
    if found.long_run is not None:
        lines.append(f"spectral gap and influence of W are left out: {found.long_run}")
    return [*lines, *_beside(plan)]


def _beside(plan: Plan) -> list[str]:
    """Sentences on delays, attacks and algorithms, which the sentences on W leave out."""
    file = plan.file
    late = network.longest(file.network) > 0 or file.exchange.mixing == "delayed"
    parts = ["delays"] * late + ["lies"] * bool(plan.attackers)
    lines = [f"what is said of W leaves out {' and '.join(parts)}"] if parts else []
    if plan.algorithm.read is not None:
        lines.append(
            f"what is said of W holds for plain mixing, which {file.algorithm.name} is not"
        )
    return lines


def _costs(plan: Plan, found: Facts) -> list[str]:
    """Data, model, bytes and memory."""
    tests, count, file = found.test_samples, found.parameters, plan.file
    return [
        f"OOD data on {sentences.named(plan, plan.sources)}; "
        f"tests: {tests['iid']} IID and {tests['ood']} OOD samples",
        f"algorithm {file.algorithm.name}, strategy {file.strategy.name}; model "
        f"{file.model.name}: {count:,} parameters, {sentences.volume(count * estimates.FLOAT)}",
        f"{'the first' if plan.changing else 'a'} round sends "
        f"{_span(found.bytes_sent_per_rank)} and receives "
        f"{_span(found.bytes_received_per_rank)} per rank; memory per rank "
        f"{_span(found.memory_per_rank)} beside torch and activations",
    ]


def heading(plan: Plan, found: Facts, size: str) -> str:
    """A sentence on the graph, with a text for its size."""
    parts = found.components
    whole = "connected" if parts == 1 else f"{parts} components"
    wide = f", diameter {found.diameter}" if found.diameter is not None else ""
    if parts == 1 and not wide:
        wide = f" (its diameter is not sought beyond {estimates.WIDE:,} devices)"
    graph = plan.file.topology.file or plan.file.topology.name
    return f"{graph} graph of {size}, {found.links} directed links, {whole}{wide}"


def changes(plan: Plan) -> list[str]:
    """A sentence on the links of a round, if the graph changes."""
    moving = plan.topology.sequence
    if moving is None:
        return []
    again = "never repeats itself"
    if moving.period is not None:
        again = f"repeats itself after {moving.period} round{'s' if moving.period > 1 else ''}"
    rounds, first = plan.file.training.rounds, moving.at(0).number_of_edges()
    return [
        f"the graph changes and {again}; these are all links of the run's {rounds} rounds, its "
        f"first has {first} of them"
    ]


def long_run(found: Weighed) -> str:
    """A sentence on the spectral gap and the devices that lead the consensus, if known."""
    influence, gap = found.stationary or (), found.spectral_gap or 0.0
    named = ", ".join(f"{d} ({influence[d]:#.3g})" for d in leaders(influence)[:3])
    begin = f"spectral gap {gap:.4g}"
    if found.followed is not None:
        agreed, begin = found.agreed, "W is not the same in every round: "
        begin += (
            f"over {found.followed} rounds disagreement shrinks to {1 - gap:.4g} of it in each"
            if agreed is None
            else f"all agree exactly after {agreed} rounds"
        )
    if gap < NONE:
        return f"{begin}: devices do not come to agree"
    return f"{begin}; consensus is led by {named or 'nobody'}"


def _holds(plan: Plan, found: Weighed) -> list[str]:
    return [] if plan.steady or found.followed is not None else [forecast.CHANGING]


def leaders(influence: Sequence[float]) -> list[int]:
    """The devices with influence, most first; none if all have the same to ten digits."""
    shares = np.round(influence, 10)
    alike = len(shares) > 1 and float(np.ptp(shares)) == 0
    return [] if alike else np.argsort(-shares, kind="stable")[: (shares > 0).sum()].tolist()


def _devices(plan: Plan, found: Facts) -> list[str]:
    weights, whole = found.weights, found.weighed
    passage, influence = whole.passage, whole.stationary or ()
    more = ("  influence" + "  passage" * bool(passage) + "  weights") if weights else ""
    head, *names = called(found)
    lines = [f"device{head}  rank  samples (OOD){more}"]
    for device, rank in enumerate(plan.hosts):
        ood = found.ood_samples[device]
        held = f"{found.samples[device]}" + (f" ({ood})" if ood else "")
        line = f"{device:6}{names[device]}  {rank:4}  {held:>13}"
        if weights:
            given = "  ".join(f"{j}:{w:.3f}" for j, w in weights[device].items())
            arrival = f"  {forecast.rounds(passage[device], whole.followed):>7}" if passage else ""
            line += f"  {influence[device]:9.4f}{arrival}  {given}"
        lines.append(line)
    return [*lines, ""]


def called(found: Facts) -> list[str]:
    """A column of device names, its head first; empty cells if devices have no names."""
    cells = ["name", *found.names]
    if len(cells) == 1:
        return [""] * (1 + found.devices)
    width = min(NAME, max(map(len, cells)))
    return [f"  {cell[:width]:{width}}" for cell in cells]


def _ranges(plan: Plan, found: Facts) -> list[str]:
    least, most = min(found.samples), max(found.samples)
    lines = [f"samples per device: {least}" + (f" to {most}" if most > least else "")]
    centrality = STRATEGIES.properties(plan.file.strategy.name).centrality
    if centrality in graphs.OVER_PATHS:
        lines.append(f"{centrality} is exact, over the paths between all devices")
    return lines


def _span(values: Sequence[int]) -> str:
    low, high = sentences.volume(min(values)), sentences.volume(max(values))
    return low if low == high else f"{low} to {high}"
