"""A study: a base run file, axes along which settings vary, and the runs that follow."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import networkx as nx
import tomli_w

from mpidl import plan
from mpidl.components import graphs
from mpidl.config import runfile, shipped, toml
from mpidl.config.faults import Fault, shown
from mpidl.config.runfile import RunFile
from mpidl.devices import data
from mpidl.ensemble import axes, sites
from mpidl.ensemble.axes import File, Labels
from mpidl.ensemble.sites import Shape, Site

DIGITS = 10
"""Hexadecimal digits of the hash in a run's name: 1e12, for some thousand runs."""

LABEL = 16
"""Characters of each label in a run's name."""


@dataclass(frozen=True)
class Run:
    """One run of a study.

    Attributes:
        file: What is run; its name is the run's.
        labels: Where it lies on each axis.
        ranks: That it is started on.
        devices: Of its graph.
    """

    file: RunFile
    labels: Labels
    ranks: int
    devices: int

    @property
    def name(self) -> str:
        """Short, stable, and a file name: labels of some axes and a hash of the settings."""
        return self.file.name


@dataclass(frozen=True)
class Study:
    """A study, expanded.

    Attributes:
        name: That of its folder.
        axes: The names of its axes, in order.
        runs: All of them, in the order of the axes, the last one fastest.
    """

    name: str
    axes: tuple[str, ...]
    runs: tuple[Run, ...]


def read(path: Path, overrides: Sequence[str] = (), ranks: int | None = None) -> Study:
    """Read a study file and make its runs; all of them are checked, as far as no data is needed.

    Args:
        path: ``STUDY/study.toml``, or its folder.
        overrides: ``section.key=value`` each, for every run.
        ranks: Of each run at most, whatever the study says.

    Raises:
        Fault: With one sentence for everything that is wrong with the study, or its first runs.
    """
    name, path = name_of(path), shipped.find(path)
    path = path / "study.toml" if path.is_dir() else path
    file = axes.read(path)
    runs = tuple(_runs(_Maker(path.parent, file, overrides, ranks)))
    if not runs:
        raise Fault(f"The study {path} has no run: its exclusions leave none.")
    return Study(name, tuple(axis.name for axis in file.axes), runs)


def name_of(path: Path) -> str:
    """What a study is called: its folder, or its file if that is not named ``study.toml``."""
    path = shipped.find(path).resolve()
    if path.name == "study.toml":
        return path.parent.name
    return path.name if path.is_dir() else path.stem


FAULTS = 10
"""Sentences after which the rest of a study is not looked at."""


def _runs(maker: "_Maker") -> Iterator[Run]:
    faults: list[str] = []
    taken: dict[str, Labels] = {}
    for labels in axes.combinations(maker.file):
        try:
            run = maker.make(labels)
        except Fault as fault:
            where = ", ".join(f"{axis} {label}" for axis, label in labels.items())
            faults += [f"{sentence} (in the run of {where})" for sentence in fault.sentences]
            if len(faults) >= FAULTS:
                break
            continue
        if run.name in taken:
            where = " and ".join(", ".join(one.values()) for one in (taken[run.name], labels))
            raise Fault(f"Two runs are the same: {where}; an axis changes nothing.")
        taken[run.name] = labels
        yield run
    if faults:
        raise Fault(*faults)


class _Maker:
    """Makes the runs of a study file; base files are read, and graphs built, once."""

    def __init__(
        self, folder: Path, file: File, overrides: Sequence[str], ranks: int | None
    ) -> None:
        self.file = file
        self._folder, self._overrides, self._ranks = folder, overrides, ranks
        self._bases: dict[str, toml.Tables] = {}
        self._graphs: dict[str, nx.DiGraph] = {}

    def make(self, labels: Labels) -> Run:
        """The run where axes have these labels.

        Raises:
            Fault: With one sentence for everything that is wrong with it.
        """
        pieces = [axis.pieces[labels[axis.name]] for axis in self.file.axes]
        base, ranks = (self._own(key, pieces) for key in axes.OWN)
        if base not in self._bases:
            self._bases[base] = toml.read(self._folder / base)
        found = deepcopy(self._bases[base])
        for piece in pieces:
            own = {key: piece[key] for key in piece if key not in axes.OWN}
            runfile.lay_over(found, axes.filled(own, labels), plan.KINDS)
        runfile.override(found, self._overrides, plan.KINDS)
        read = runfile.validate({**found, "name": "run"}, plan.KINDS)
        folders = [(self._folder / base).parent, self._folder]
        # Not by where files lie here, so that a run is called the same everywhere.
        name = "-".join([*(clean(labels[axis]) for axis in self.file.prefix), identity(read)])
        placed = runfile.placed(replace(read, name=name), folders, self._overrides)
        return self._checked(placed, labels, ranks)

    def _own(self, key: str, pieces: Sequence[Mapping[str, Any]]) -> Any:
        """What the last group that says so wants, else the study."""
        wanted = getattr(self.file, key)
        return next((piece[key] for piece in reversed(pieces) if key in piece), wanted)

    def _checked(self, read: RunFile, labels: Labels, wanted: Any) -> Run:
        if read.topology.file is None and read.topology.devices is None:
            raise Fault("topology.devices is missing: a study says how many its graphs have.")
        if wanted != "devices" and (not isinstance(wanted, int) or wanted < 1):
            raise Fault(f"ranks = {shown(wanted)}: {File.model_fields['ranks'].description}.")
        key = f"{read.topology.model_dump_json()} {read.training.rounds}"
        if key not in self._graphs:
            self._graphs[key] = graphs.build(read.topology, 1, read.training.rounds)
        graph = self._graphs[key]
        limit = self._ranks or (len(graph) if wanted == "devices" else wanted)
        number = ranks_of(read, graph, limit)
        plan.make(read, number, graph)
        return Run(read, labels, number, len(graph))


def ranks_of(file: RunFile, graph: nx.DiGraph, most: int) -> int:
    """How many ranks a run starts on: one for each device, up to so many, or what it says."""
    hosts = file.placement.hosts
    return max(hosts) + 1 if isinstance(hosts, list) and hosts else min(len(graph), most)


def identity(file: RunFile) -> str:
    """A hash of what decides the results of a run, the same after a setting is added to mpidl.

    Settings that have their default value are left out, and so is what no result depends on.
    """
    told: dict[str, Any] = {}
    for section in runfile.SECTIONS:
        skipped = runfile.UNTOLD.get(section, [])
        chosen = getattr(file, section).model_dump(exclude_defaults=True, exclude_none=True)
        if skipped is not None:
            told[section] = {key: chosen[key] for key in sorted(chosen) if key not in skipped}
    text = tomli_w.dumps({section: told[section] for section in sorted(told) if told[section]})
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def clean(label: str) -> str:
    """A label as a run's name shows it: letters, digits, ``_`` and ``.``, not too many."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", label).strip("_.")[:LABEL]


def phases(runs: Iterable[Run], site: Site) -> Iterator[tuple[Shape, list[Run]]]:
    """Runs that lie alike on the nodes of a site, with the shape of the largest; largest first."""
    alike: dict[tuple[int, int], list[Run]] = {}
    for run in runs:
        shape = sites.shape(site, run.ranks)
        alike.setdefault((shape.nodes, shape.places), []).append(run)
    for key in sorted(alike, reverse=True):
        yield sites.shape(site, max(run.ranks for run in alike[key])), alike[key]


def check_data(study: Study) -> None:
    """See that the data of every run is there, and that model and OOD kind take it.

    Raises:
        Fault: With one sentence for everything that is wrong.
    """
    faults: dict[str, None] = {}
    seen = set()
    for run in study.runs:
        parts = (run.file.data, run.file.model, run.file.ood)
        key = str(parts)
        if key in seen:
            continue
        seen.add(key)
        try:
            data.foresee(run.file)
        except Fault as fault:
            faults |= dict.fromkeys(fault.sentences)
    if faults:
        raise Fault(*faults)
