"""Comparison of all strategies on a graph, as a page of text."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mpidl.components import graphs
from mpidl.components.graphs import prediction
from mpidl.plan import Plan, sentences
from mpidl.preview import check, estimates, forecast
from mpidl.preview.facts import Advice, Facts, Weighed

LISTED = 10
"""Devices that are listed if a graph is too large to be drawn: the fastest as sources."""

LEGEND = (
    "gap: spectral gap of W; where W changes, one minus the factor by which disagreement shrinks",
    f"a round; neighbors: their effective number (decay {prediction.DECAY:g}); led by: who has "
    "most",
    "influence on the consensus; mean, longest: predicted rounds until knowledge of the sources",
    "reaches the others; fastest from: the device that, as the only source, would reach all others",
    f"first, and its longest rounds; >{prediction.ROUNDS}: not in the {prediction.ROUNDS} rounds "
    "for which a W that changes is followed",
)
"""The meaning of the columns of the table."""


def report(made: Plan, found: Facts) -> str:
    """The facts as a page of text."""
    lines = [check.heading(made, found, f"{made.devices} devices"), *check.changes(made)]
    lines += found.notes
    if made.devices <= estimates.PICTURED:
        lines += ["", graphs.picture(made.topology)]
    lines += ["", *forecast.narrow(found)]
    lines += [f"OOD data on {sentences.named(made, made.sources)}", "", *_table(made, found), ""]
    if not (made.devices <= prediction.WALKED or made.looks or made.steady):
        lines += [forecast.CHANGING, ""]
    own = found.strategies[made.file.strategy.name]
    lines.append(f"{made.file.strategy.name} (strategy.name) in detail:")
    if reason := own.left_out or own.long_run:
        lines.append(f"left out: {reason}")
    else:
        lines.append(check.long_run(own))
    if own.moduli is not None:
        lines.append(forecast.spectrum(own.moduli))
    if own.passage is not None:
        lines += [*forecast.knowledge(own, made.sources), "", *_devices(found, own)]
    return "\n".join([*lines, *_advice(found)])


def _table(made: Plan, found: Facts) -> list[str]:
    """A line for each strategy."""
    heads = "strategy", "gap", "neighbors", "led by", "mean", "longest", "fastest from", "longest"
    rows: list[tuple[str, ...]] = [heads]
    without: dict[str, list[str]] = {}
    for name, row in found.strategies.items():
        if row.spectral_gap is not None:
            rows.append((name, *_numbers(made, row)))
        else:
            reason = row.left_out or row.long_run or ""
            without.setdefault(reason.removeprefix(f"strategy.name = {name!r}: "), []).append(name)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(map(_aligned, row, widths, range(len(row)))).rstrip() for row in rows]
    left_out = [f"left out: {', '.join(names)}: {reason}" for reason, names in without.items()]
    return [*table, *left_out, "", *LEGEND]


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column else cell.ljust(width)


def _numbers(made: Plan, row: Weighed) -> tuple[str, ...]:
    influence, gap = row.stationary or (), f"{row.spectral_gap or 0:.4f}"
    led = next((f"{d} ({influence[d]:.3f})" for d in check.leaders(influence)), "nobody")
    if row.passage is None or row.passage_worst is None:
        return gap, "-", led, "-", "-", "-", "-"
    worst, mean = forecast.over(row.passage, made.sources)
    best, followed = row.fastest, row.followed
    measured = bool(made.sources) and made.devices > len(made.sources)
    return (
        gap,
        "-" if row.effective_neighbors is None else f"{row.effective_neighbors:.2f}",
        led,
        forecast.rounds(mean, followed) if measured else "-",
        forecast.rounds(worst, followed) if measured else "-",
        "-" if best is None else str(best),
        "-" if best is None else forecast.rounds(row.passage_worst[best]),
    )


def _devices(found: Facts, own: Weighed) -> list[str]:
    """A line for each device, or for the devices from which knowledge spreads fastest."""
    groups, influence = found.communities or [], own.stationary or ()
    passages, worst, mean = own.passage, own.passage_worst or (), own.passage_mean or ()
    community = {device: place for place, group in enumerate(groups) for device in group}
    shown = list(range(found.devices))
    title = "of each device:"
    if len(shown) > estimates.PICTURED:
        shown = prediction.fastest_first(_numbered(worst), _numbered(mean))
        shown = shown[:LISTED]
        title = f"of the {LISTED} devices from which all are reached first:"
    followed = own.followed
    head, *names = check.called(found)
    lines = [
        title,
        "passage, the rounds until knowledge of the sources arrives; mean, longest as only source",
        f"device{head}  degree  community  influence  passage     mean  longest",
    ]
    for device in shown:
        passage = forecast.rounds(passages[device], followed) if passages else "-"
        lines.append(
            f"{device:6}{names[device]}  {found.degree[device]:6}  "
            f"{community.get(device, '-'):>9}  {influence[device]:9.4f}  {passage:>7}  "
            f"{forecast.rounds(mean[device], followed):>7}  "
            f"{forecast.rounds(worst[device], followed):>7}"
        )
    return lines


def _numbered(values: Sequence[float | None]) -> npt.NDArray[np.float64]:
    return np.array([np.inf if value is None else value for value in values])


def _advice(found: Facts) -> list[str]:
    if not found.advisable:
        return []
    advice = found.advice
    if not isinstance(advice, Advice):
        return ["", "no strategy here is sure to carry knowledge from one device to all others"]
    return [
        "",
        f"advice: of the strategies on this graph, {advice.strategy} carries knowledge to all "
        f"others first,",
        f"from device {advice.device}: predicted {forecast.rounds(advice.passage_worst)} "
        "rounds at most",
    ]
