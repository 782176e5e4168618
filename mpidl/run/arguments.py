"""Arguments of Python calls: sections of a run file from names, dictionaries and objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from mpidl import plan as planning
from mpidl.components import graphs
from mpidl.components.datasets.accepted import NAMES
from mpidl.components.graphs import Topology
from mpidl.config import plugins, runfile, toml
from mpidl.config.faults import Fault, nearest, shown
from mpidl.config.runfile import SECTIONS, DataSettings, RunFile
from mpidl.config.toml import SEVERAL, Tables, namer
from mpidl.plan import Plan

SECTION_OF = {"dataset": "data", "backend": "exchange"}
"""Arguments with another name than their section."""

GRAPH, DATASET = "graph", "dataset"
"""What ``topology.name`` and ``data.name`` are for an object that a program gives."""

OBJECTS = {"topology": "a networkx graph, a matrix, ", "strategy": "a matrix, "}
"""What else sections take, for messages."""


@dataclass
class Arguments:
    """What the arguments of a call say.

    Attributes:
        tables: Settings by section, and the name of the run.
        adopted: Settings, ``"section.key"``, that name functions which the call gives.
        graph: A graph or a mixing matrix that is given in place of the name of a topology.
        dataset: A data set that is given in place of a name.
    """

    tables: Tables = field(default_factory=dict)
    adopted: set[str] = field(default_factory=set)
    graph: Any = None
    dataset: Any = None

    def file(self, source: Path | None, ranks: int, use: str | Sequence[str]) -> RunFile:
        """The run file that they mean, laid over another one; see :func:`mpidl.plan.lay_over`.

        Raises:
            Fault: With one sentence for every setting that is wrong.
        """
        return planning.lay_over(source, self.tables, ranks, use, self.adopted, self._given())

    def _given(self) -> list[str]:
        """The sections of which an object is given in place of a name."""
        things = {"topology": self.graph, "data": self.dataset}
        return [section for section, thing in things.items() if thing is not None]

    def objects(self) -> list[str]:
        """The sections for which objects are given, that no run file can name."""
        given = self._given()
        return [
            section
            for section in SECTIONS
            if section in given or any(key.startswith(f"{section}.") for key in self.adopted)
        ]

    def data(self) -> DataSettings:
        """The settings of the data set alone.

        Raises:
            Fault: With one sentence for every setting that is wrong.
        """
        runfile.bring(self.tables, planning.KINDS, [Path.cwd()], lambda k: k not in self.adopted)
        table = self.tables.get("data", {})
        section: DataSettings = toml.check("data", SECTIONS["data"], table, planning.KINDS["data"])
        return section

    def plan(self, file: RunFile, ranks: int) -> Plan:
        """The plan of the run file that they mean.

        Raises:
            Fault: If the settings do not fit together.
        """
        return planning.make(file, ranks, self.topology(file))

    def topology(self, file: RunFile) -> Topology | None:
        """The topology of the graph or matrix that is given; None if there is none.

        Raises:
            Fault: If it does not fit the settings beside it.
        """
        return None if self.graph is None else graphs.given(self.graph, file.topology)

    def add(self, argument: str, section: str, value: object) -> None:
        """Add the settings of a section that an argument means; a function is registered.

        Raises:
            Fault: If it means nothing.
        """
        if section not in planning.KINDS:
            if not isinstance(value, Mapping):
                raise Fault(f"{argument} = {shown(value)}: must be a dictionary, as in a run file.")
            self.tables[section] = dict(value)
            return
        key = namer(SECTIONS[section])
        if section == "topology" and isinstance(value, Path):
            value = {"file": str(value)}
        settings = dict(value) if isinstance(value, Mapping) else {key: value}
        if section == "data" and {*NAMES} <= settings.keys():
            settings = {key: self._name(argument, section, settings)}
        elif key in settings:
            thing, several = settings[key], key == SEVERAL
            settings[key] = (
                self._names(section, thing) if several else self._name(argument, section, thing)
            )
        self.tables[section] = settings

    def _name(self, argument: str, section: str, thing: object) -> str:
        """The name of a builder, or of what is given in place of one."""
        if isinstance(thing, str):
            return thing
        if section == "topology" and isinstance(thing, nx.Graph | np.ndarray):
            self.graph = thing
            return GRAPH
        if section == "data" and not callable(thing):
            self.dataset = thing
            return DATASET
        if section == "strategy" and isinstance(thing, np.ndarray):
            return self._matrix(thing)
        if section == "model" and hasattr(thing, "state_dict") and not isinstance(thing, type):
            raise Fault(
                f"{argument} is a model already: must be a function or class that makes one for "
                "each device, such as lambda: MyModel()."
            )
        if not callable(thing):
            kinds = OBJECTS.get(section, "")
            raise Fault(
                f"{argument} = {shown(thing)}: must be a name, a function, {kinds}or a dictionary, "
                "as in a run file."
            )
        self.adopted.add(f"{section}.{namer(SECTIONS[section])}")
        return planning.KINDS[section].adopt(thing)

    def _names(self, section: str, things: object) -> object:
        """The names of builders in a list, in which functions may stand."""
        registry, setting = planning.KINDS[section], f"{section}.{SEVERAL}"
        if isinstance(things, str) or not isinstance(things, Sequence):
            return things
        if not any(map(callable, things)):
            return [*things]
        self.adopted.add(setting)

        def name(thing: Any) -> object:
            if plugins.names_code(thing):
                return registry.bring(thing, subject=f"{setting} = {shown(thing)}")
            return registry.adopt(thing) if callable(thing) else thing

        return [name(thing) for thing in things]

    def _matrix(self, matrix: object) -> str:
        """The strategy whose weights are those of a matrix, which is the topology as well."""
        if self.graph is not None or "topology" in self.tables:
            raise Fault(
                "topology must be left out where strategy is a matrix, which has its links too."
            )
        self.graph, self.tables["topology"] = matrix, {"name": GRAPH}
        return "given"


def read(settings: Mapping[str, object]) -> Arguments:
    """What arguments say, each the value of a section of a run file, or ``name``.

    Args:
        settings: A name, a function or object in place of one, or a dictionary with the settings of
            the section; by the name of the section, or of :data:`SECTION_OF`.

    Raises:
        Fault: If there is no such section, or a value means nothing.
    """
    found, faults = Arguments(), list[str]()
    known = {**SECTION_OF, **{section: section for section in SECTIONS}}
    # A matrix is looked at when it is known whether there is a topology.
    for argument, value in sorted(settings.items(), key=lambda pair: pair[0] == "strategy"):
        section = known.get(argument)
        if argument == "name":
            found.tables["name"] = value
        elif section is None:
            faults.append(f"Unknown argument {argument}; {nearest(argument, ['name', *known])}")
        elif section in found.tables:
            faults.append(f"{argument} and {section} are the same: must be given once.")
        elif value is not None:
            try:
                found.add(argument, section, value)
            except Fault as fault:
                faults += fault.sentences
    if faults:
        raise Fault(*faults)
    return found
