"""A comparison of every strategy on a graph, side by side in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.components import graphs
from mpidl.components.graphs import prediction
from mpidl.plan import Plan, sentences
from mpidl.preview import check, facts, forecast

LISTED = 10
"""Devices of a graph too large to be drawn that are listed: those from which to spread."""

LEGEND = (
    "gap: spectral gap of W; where W changes, one minus the factor by which disagreement shrinks",
    f"a round; neighbors: their effective number (decay {prediction.DECAY:g}); led by: who has "
    "most",
    "influence on the consensus; mean, longest: predicted rounds until knowledge of the sources",
    "reaches the others; fastest from: the device that, as the only source, would reach all others",
    f"first, and its longest rounds; >{prediction.ROUNDS}: not in the {prediction.ROUNDS} rounds "
    "for which a W that changes is followed",
)
"""What the columns of the table are."""


def report(made: Plan, found: Mapping[str, Any]) -> str:
    """The facts as a page of text."""
    lines = [check.heading(made, found, f"{made.devices} devices"), *check.changes(made)]
    lines += found["notes"]
    if made.devices <= facts.PICTURED:
        lines += ["", graphs.picture(made.topology)]
    close = made.devices <= prediction.CLOSE
    lines += ["", *(forecast.narrow(found) if close else [forecast.BEYOND])]
    lines += [f"OOD data on {sentences.named(made, made.sources)}", "", *_table(made, found), ""]
    if not (made.devices <= prediction.WALKED or made.looks or made.steady):
        lines += [forecast.CHANGING, ""]
    own = found["strategies"][made.file.strategy.name]
    lines.append(f"{made.file.strategy.name} (strategy.name) in detail:")
    if "left_out" in own or "long_run" in own:
        lines.append(f"left out: {own.get('left_out') or own['long_run']}")
    else:
        lines.append(check.long_run(own))
    if "moduli" in own:
        lines.append(forecast.spectrum(own["moduli"]))
    if "passage" in own:
        lines += [*forecast.knowledge(own, made.sources), "", *_devices(found, own)]
    return "\n".join([*lines, *_advice(found)])


def _table(made: Plan, found: Mapping[str, Any]) -> list[str]:
    """A line for each strategy."""
    heads = "strategy", "gap", "neighbors", "led by", "mean", "longest", "fastest from", "longest"
    rows = [heads]
    without: dict[str, list[str]] = {}
    for name, row in found["strategies"].items():
        if "spectral_gap" in row:
            rows.append((name, *_numbers(made, row)))
        else:
            reason = row.get("left_out") or row["long_run"]
            without.setdefault(reason.removeprefix(f"strategy.name = {name!r}: "), []).append(name)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(map(_aligned, row, widths, range(len(row)))).rstrip() for row in rows]
    left_out = [f"left out: {', '.join(names)}: {reason}" for reason, names in without.items()]
    return [*table, *left_out, "", *LEGEND]


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column else cell.ljust(width)


def _numbers(made: Plan, row: Mapping[str, Any]) -> tuple[str, ...]:
    influence = row["stationary"]
    led = next((f"{d} ({influence[d]:.3f})" for d in check.leaders(influence)), "nobody")
    if "passage" not in row:
        return f"{row['spectral_gap']:.4f}", "-", led, "-", "-", "-", "-"
    worst, mean = forecast.over(row["passage"], made.sources)
    best, followed = row["fastest"], row.get("followed")
    measured = bool(made.sources) and made.devices > len(made.sources)
    return (
        f"{row['spectral_gap']:.4f}",
        f"{row['effective_neighbors']:.2f}" if "effective_neighbors" in row else "-",
        led,
        forecast.rounds(mean, followed) if measured else "-",
        forecast.rounds(worst, followed) if measured else "-",
        "-" if best is None else str(best),
        "-" if best is None else forecast.rounds(row["passage_worst"][best]),
    )


def _devices(found: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """A line for each device, or for those from which knowledge spreads fastest."""
    groups = found.get("communities", [])
    community = {device: place for place, group in enumerate(groups) for device in group}
    shown = list(range(found["devices"]))
    title = "of each device:"
    if len(shown) > facts.PICTURED:
        shown = prediction.fastest_first(
            *map(_numbered, (own["passage_worst"], own["passage_mean"]))
        )
        shown = shown[:LISTED]
        title = f"of the {LISTED} devices from which all are reached first:"
    followed = own.get("followed")
    head, *names = check.called(found)
    lines = [
        title,
        "passage, the rounds until knowledge of the sources arrives; mean, longest as only source",
        f"device{head}  degree  community  influence  passage     mean  longest",
    ]
    for device in shown:
        passage = forecast.rounds(own["passage"][device], followed) if own["passage"] else "-"
        lines.append(
            f"{device:6}{names[device]}  {found['degree'][device]:6}  "
            f"{community.get(device, '-'):>9}  {own['stationary'][device]:9.4f}  {passage:>7}  "
            f"{forecast.rounds(own['passage_mean'][device], followed):>7}  "
            f"{forecast.rounds(own['passage_worst'][device], followed):>7}"
        )
    return lines


def _numbered(values: Sequence[float | None]) -> npt.NDArray[np.float64]:
    return np.array([np.inf if value is None else value for value in values])


def _advice(found: Mapping[str, Any]) -> list[str]:
    if "advice" not in found:
        return []
    advice = found["advice"]
    if advice is None:
        return ["", "no strategy here is sure to carry knowledge from one device to all others"]
    return [
        "",
        f"advice: of the strategies on this graph, {advice['strategy']} carries knowledge to all "
        f"others first,",
        f"from device {advice['device']}: predicted {forecast.rounds(advice['passage_worst'])} "
        "rounds at most",
    ]
