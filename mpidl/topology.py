"""What a graph lets expect of every strategy, before anything is trained; no MPI is started.

python -m mpidl.topology NAME|FILE [--devices N] [--set section.key=value] [--json]
"""

import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Who looks at a graph is no rank: MPI must not start where no launcher is.
os.environ["MPI4PY_RC_INITIALIZE"] = "0"

import numpy as np
import numpy.typing as npt

from mpidl import check, facts, graphs, outlook, plan, strategies, tables
from mpidl.faults import Fault, Parser, command, shown
from mpidl.plan import Plan
from mpidl.registry import nearest
from mpidl.runfile import Strategy

os.environ.pop("MPI4PY_RC_INITIALIZE", None)

DEVICES = 16
"""Of a graph that may have any number."""

LISTED = 10
"""Devices of a graph too large to be drawn that are listed: those from which to spread."""

LEGEND = (
    "gap: spectral gap of W; where W changes, one minus the factor by which disagreement shrinks",
    f"a round; neighbors: their effective number (decay {outlook.DECAY:g}); led by: who has most",
    "influence on the consensus; mean, longest: predicted rounds until knowledge of the sources",
    "reaches the others; fastest from: the device that, as the only source, would reach all others",
    "first, and its longest rounds",
)
"""What the columns of the table are."""

UNSEEN = "its weights follow from the vectors that arrive"

UNKNOWN = {"weighted": "its weights follow from samples, which mpidl.run --check places"}
"""Strategies whose W says nothing here, and why."""


def parser() -> Parser:
    """The command line of ``python -m mpidl.topology``."""
    parser = Parser(
        prog="python -m mpidl.topology",
        description="What a graph lets expect of every strategy: how fast it mixes, who leads, "
        "how long knowledge takes to reach all, and from where it spreads fastest.",
        epilog="Exit codes: 0 done, 2 your fault, 130 Ctrl-C.",
    )
    add = parser.add_argument
    told = "a topology by name, a run file (.toml), or the file of a graph"
    add("graph", metavar="NAME|FILE", help=told)
    told = f"how many; {DEVICES} where neither the file nor --set says"
    add("--devices", metavar="N", help=told)
    add(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting"
    )
    add("--json", action="store_true", help="all numbers, for programs; null stands for never")
    return parser


def read(graph: str, overrides: Sequence[str]) -> Plan:
    """The plan of a graph by name or file, or of the graph in a run file, on one rank.

    Raises:
        Fault: If it is none of these, or a setting is wrong.
    """
    # Where devices would be hosted says nothing about their graph.
    settings = [*overrides, "placement.hosts=blocks"]
    if graph in graphs.TOPOLOGIES:
        file = plan.read(None, [f"topology.name={graph}", *settings], DEVICES)
    elif Path(graph).suffix == ".toml":
        file = plan.read(Path(graph), settings, DEVICES)
    elif Path(graph).exists() or os.sep in graph or Path(graph).suffix:
        file = plan.read(None, [f"topology.file={json.dumps(graph)}", *settings], DEVICES)
    else:
        raise Fault(
            f"{shown(graph)} is neither a file nor a topology; {nearest(graph, graphs.TOPOLOGIES)}"
        )
    built = graphs.build(file.topology, DEVICES, file.training.rounds)
    return plan.make(file, 1, built)


def values(made: Plan) -> dict[str, Any]:
    """All numbers, as plain values."""
    close = made.devices <= outlook.CLOSE
    found: dict[str, Any] = {
        "name": made.file.name,
        "strategy": made.file.strategy.name,
        "devices": made.devices,
        **facts.extent(made.graph),
        "sources": made.sources,
        "degree": [int(degree) for _, degree in made.graph.in_degree],
        **(outlook.of_graph(made.graph) if close else {}),
    }
    rows = {name: _strategy(made, name) for name in strategies.STRATEGIES}
    found["strategies"] = rows
    if close and made.devices > 1:
        found["advice"] = advised(rows)
    return found


def _strategy(made: Plan, name: str) -> dict[str, Any]:
    """What one strategy makes of the graph, or ``left_out``: why that is not known."""
    if name in UNKNOWN or strategies.looks(name):
        return {"left_out": UNKNOWN.get(name, UNSEEN)}
    try:
        own = plan.make(dataclasses.replace(made.file, strategy=named(made, name)), 1, made.graph)
        return facts.weighed(own)
    except Fault as fault:
        return {"left_out": fault.sentences[0]}


def named(made: Plan, name: str) -> Strategy:
    """A strategy with what the run file says of those of its settings that its own has too."""
    own = made.file.strategy
    if own.name == name:
        return own
    known = {*Strategy.model_fields, *strategies.STRATEGIES.settings(name).model_fields}
    told = {key: value for key, value in own.model_dump().items() if key in known}
    section: Strategy = tables.check(
        "strategy", Strategy, {**told, "name": name}, strategies.STRATEGIES
    )
    return section


def advised(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """The strategy and the device from which knowledge is predicted to reach all others first.

    Strategies that replace the graph are no advice on it, nor is what was drawn for one run. None
    if knowledge surely reaches all from nowhere.
    """
    found = {
        name: row["passage_worst"][row["fastest"]]
        for name, row in rows.items()
        if row.get("fastest") is not None and name not in {*strategies.COMPLETE, "random"}
    }
    if not found:
        return None
    # Of equal ones the first, which is the simplest.
    name = min(found, key=lambda one: found[one])
    return {"strategy": name, "device": rows[name]["fastest"], "passage_worst": found[name]}


def report(made: Plan, found: Mapping[str, Any]) -> str:
    """The facts as a page of text."""
    lines = [check.heading(made, found, f"{made.devices} devices")]
    if made.devices <= facts.PICTURED:
        lines += ["", graphs.picture(made.graph)]
    close = made.devices <= outlook.CLOSE
    lines += ["", *(outlook.narrow(found) if close else [outlook.BEYOND])]
    lines += [f"OOD data on {made.sources or 'no device'}", "", *_table(made, found), ""]
    if not (made.steady or made.looks or made.devices <= outlook.WALKED):
        lines += [outlook.CHANGING, ""]
    own = found["strategies"][made.file.strategy.name]
    lines.append(f"{made.file.strategy.name} (strategy.name) in detail:")
    if "left_out" in own or "long_run" in own:
        lines.append(f"left out: {own.get('left_out') or own['long_run']}")
    else:
        lines.append(check.long_run(own))
    if "moduli" in own:
        lines.append(outlook.spectrum(own["moduli"]))
    if "passage" in own:
        lines += [*outlook.knowledge(own, made.sources), "", *_devices(found, own)]
    return "\n".join([*lines, *_advice(found)])


def _table(made: Plan, found: Mapping[str, Any]) -> list[str]:
    """A line for each strategy."""
    heads = "strategy", "gap", "neighbors", "led by", "mean", "longest", "fastest from", "longest"
    rows = [heads]
    without = []
    for name, row in found["strategies"].items():
        if "spectral_gap" in row:
            rows.append((name, *_numbers(made, row)))
        else:
            without.append(f"{name} is left out: {row.get('left_out') or row['long_run']}")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(map(_aligned, row, widths, range(len(row)))).rstrip() for row in rows]
    return [*table, *without, "", *LEGEND]


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column else cell.ljust(width)


def _numbers(made: Plan, row: Mapping[str, Any]) -> tuple[str, ...]:
    influence = row["stationary"]
    led = next((f"{d} ({influence[d]:.3f})" for d in check.leaders(influence)), "nobody")
    if "passage" not in row:
        return f"{row['spectral_gap']:.4f}", "-", led, "-", "-", "-", "-"
    worst, mean = outlook.over(row["passage"], made.sources)
    best = row["fastest"]
    measured = bool(made.sources) and made.devices > len(made.sources)
    return (
        f"{row['spectral_gap']:.4f}",
        f"{row['effective_neighbors']:.2f}" if "effective_neighbors" in row else "-",
        led,
        outlook.rounds(mean) if measured else "-",
        outlook.rounds(worst) if measured else "-",
        "-" if best is None else str(best),
        "-" if best is None else outlook.rounds(row["passage_worst"][best]),
    )


def _devices(found: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """A line for each device, or for those from which knowledge spreads fastest."""
    groups = found.get("communities", [])
    community = {device: place for place, group in enumerate(groups) for device in group}
    shown = list(range(found["devices"]))
    title = "of each device:"
    if len(shown) > facts.PICTURED:
        shown = outlook.fastest_first(*map(_numbered, (own["passage_worst"], own["passage_mean"])))
        shown = shown[:LISTED]
        title = f"of the {LISTED} devices from which all are reached first:"
    lines = [
        title,
        "passage, the rounds until knowledge of the sources arrives; mean, longest as only source",
        "device  degree  community  influence  passage     mean  longest",
    ]
    for device in shown:
        passage = outlook.rounds(own["passage"][device]) if own["passage"] else "-"
        lines.append(
            f"{device:6}  {found['degree'][device]:6}  {community.get(device, '-'):>9}  "
            f"{own['stationary'][device]:9.4f}  {passage:>7}  "
            f"{outlook.rounds(own['passage_mean'][device]):>7}  "
            f"{outlook.rounds(own['passage_worst'][device]):>7}"
        )
    return lines


def _numbered(values: Sequence[float | None]) -> npt.NDArray[np.float64]:
    return np.array([np.inf if value is None else value for value in values])


def _advice(found: Mapping[str, Any]) -> list[str]:
    if "advice" not in found:
        return []
    advice = found["advice"]
    if advice is None:
        return ["", "no strategy here surely carries knowledge from one device to all others"]
    return [
        "",
        f"advice: of the strategies on this graph, {advice['strategy']} carries knowledge to all "
        f"others first,",
        f"from device {advice['device']}: predicted {outlook.rounds(advice['passage_worst'])} "
        "rounds at most",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0 done, 2 the user's fault, 130 Ctrl-C."""

    def work() -> int:
        options = parser().parse_args(arguments)
        more = [] if options.devices is None else [f"topology.devices={options.devices}"]
        made = read(options.graph, [*options.set, *more])
        found = values(made)
        print(json.dumps(found, indent=2) if options.json else report(made, found), flush=True)
        return 0

    return command(work)


if __name__ == "__main__":
    sys.exit(main())
