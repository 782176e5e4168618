"""Command that compares all strategies on a graph before any run; it starts no MPI.

python -m mpidl.topology NAME|FILE [--devices N] [--set section.key=value] [--json]
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mpidl import plan
from mpidl.components import graphs, strategies
from mpidl.components.strategies import STRATEGIES
from mpidl.config import plugins, runfile, toml
from mpidl.config.faults import Fault, Parser, command, nearest, shown
from mpidl.config.runfile import StrategySettings
from mpidl.plan import Plan
from mpidl.preview import comparison, estimates, facts
from mpidl.preview.facts import Advice, Facts, Weighed

DEVICES = 16
"""Devices of a graph that may have any number."""

UNSEEN = "weights follow from the vectors that arrive"

UNPLACED = "weights follow from samples, which mpidl.run --check places"


def parser() -> Parser:
    """The command line of ``python -m mpidl.topology``."""
    parser = Parser(
        prog="python -m mpidl.topology",
        description="What a graph lets expect of every strategy: how fast it mixes, who leads, "
        "how long knowledge takes to reach all, and from where it spreads fastest.",
        epilog="Exit codes: 0 done, 2 wrong input, 130 Ctrl-C.",
    )
    add = parser.add_argument
    meaning = "a topology by name, a run file (.toml), or the file of a graph"
    add("graph", metavar="NAME|FILE", help=meaning)
    meaning = f"how many; {DEVICES} where neither the file nor --set says"
    add("--devices", metavar="N", help=meaning)
    add(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting"
    )
    parser.add_use()
    add("--json", action="store_true", help="all numbers, for programs; null: never, or not told")
    return parser


def read(graph: str, overrides: Sequence[str], use: Sequence[str] = ()) -> Plan:
    """The plan of a graph by name or file, or of the graph in a run file, on one rank.

    Raises:
        Fault: If it is none of these, or a setting is wrong.
    """
    # Where devices would be hosted says nothing about their graph.
    settings = [*overrides, "placement.hosts=blocks"]
    runfile.begin(use)
    code = plugins.names_code(graph) and not Path(graph).exists()
    if graph in graphs.TOPOLOGIES or code:
        file = plan.read(None, [f"topology.name={graph}", *settings], DEVICES, use)
    elif Path(graph).suffix == ".toml":
        file = plan.read(Path(graph), settings, DEVICES, use)
    elif Path(graph).exists() or os.sep in graph or Path(graph).suffix:
        file = plan.read(None, [f"topology.file={json.dumps(graph)}", *settings], DEVICES, use)
    else:
        raise Fault(
            f"{shown(graph)} is neither a file nor a topology; {nearest(graph, graphs.TOPOLOGIES)}"
        )
    built = graphs.build(file.topology, DEVICES, file.training.rounds)
    return plan.make(file, 1, built)


def alone(made: Plan) -> Plan:
    """The same plan for one rank, as where devices are hosted says nothing about their graph."""
    placement = made.file.placement.model_copy(update={"hosts": "blocks"})
    file = dataclasses.replace(made.file, placement=placement)
    return plan.make(file, 1, made.topology)


def values(made: Plan) -> Facts:
    """The facts of a graph, with every strategy."""
    found = Facts(
        strategy=made.file.strategy.name,
        degree=[int(degree) for _, degree in made.graph.in_degree],
        strategies={name: _strategy(made, name) for name in STRATEGIES},
        **estimates.of_graph(made),
    )
    return dataclasses.replace(found, advice=advised(found.strategies) if found.advisable else None)


def _strategy(made: Plan, name: str) -> Weighed:
    """Properties of one strategy's mixing matrices, or the reason why they are not known."""
    if strategies.looks(name):
        return Weighed(left_out=UNSEEN)
    if "samples" in STRATEGIES.properties(name).needs:
        return Weighed(left_out=UNPLACED)
    try:
        file = dataclasses.replace(made.file, strategy=named(made, name))
        return estimates.weighed(plan.make(file, 1, made.topology))
    except Fault as fault:
        return Weighed(left_out=fault.sentences[0])


def named(made: Plan, name: str) -> StrategySettings:
    """A strategy with the settings that it has in common with the run file's strategy."""
    own = made.file.strategy
    known = {*StrategySettings.model_fields, *STRATEGIES.settings(name).model_fields}
    settings = {key: value for key, value in own.model_dump().items() if key in known}
    section: StrategySettings = toml.check(
        "strategy", StrategySettings, {**settings, "name": name}, STRATEGIES
    )
    return section


def advised(rows: Mapping[str, Weighed]) -> Advice | None:
    """The strategy and the device from which knowledge is predicted to reach all others first.

    It leaves out strategies that replace the graph, and random ones. None if no device surely
    reaches all others.
    """
    found = [
        Advice(name, row.fastest, worst)
        for name, row in rows.items()
        if row.fastest is not None and row.passage_worst is not None and _advisable(name)
        if (worst := row.passage_worst[row.fastest]) is not None
    ]
    # Of equal ones the first, which is the simplest.
    return min(found, key=lambda one: one.passage_worst, default=None)


def _advisable(name: str) -> bool:
    properties = STRATEGIES.properties(name)
    return not (properties.complete or properties.chance)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0 done, 2 the user's fault, 130 Ctrl-C."""

    def work() -> int:
        options = parser().parse_args(arguments)
        more = [] if options.devices is None else [f"topology.devices={options.devices}"]
        made = read(options.graph, [*options.set, *more], options.use)
        found = values(made)
        print(
            json.dumps(facts.plain(found), indent=2)
            if options.json
            else comparison.report(made, found),
            flush=True,
        )
        return 0

    return command(work)
