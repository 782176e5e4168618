"""Studies: the runs that follow from a base run file and axes along which settings vary."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from mpidl import plan
from mpidl.components import graphs
from mpidl.config import plugins, runfile, shipped, toml
from mpidl.config.faults import Fault, shown
from mpidl.config.runfile import RunFile
from mpidl.devices import loading
from mpidl.ensemble import shapes, study_file
from mpidl.ensemble.shapes import Shape
from mpidl.ensemble.sites import Site
from mpidl.ensemble.study_file import Labels, StudyFile

DIGITS = 10
"""Hexadecimal digits of the hash in a run's name: 1e12 values, for some thousand runs."""

LABEL = 16
"""Most characters of each label in a run's name."""


@dataclass(frozen=True)
class Run:
    """One run of a study.

    Attributes:
        file: The run file; its name is the run's.
        labels: The run's label on each axis.
        ranks: Number of ranks that it is started on.
        devices: Number of devices of its graph.
    """

    file: RunFile
    labels: Labels
    ranks: int
    devices: int

    @property
    def name(self) -> str:
        """The name: labels of some axes and a hash of the settings; short, stable, a file name."""
        return self.file.name


@dataclass(frozen=True)
class Study:
    """A study: all its runs.

    Attributes:
        name: The name of its folder.
        axes: The names of its axes, in order.
        runs: All runs, in the order of the axes; the last axis varies fastest.
    """

    name: str
    axes: tuple[str, ...]
    runs: tuple[Run, ...]


def read(
    path: Path, overrides: Sequence[str] = (), ranks: int | None = None, use: Sequence[str] = ()
) -> Study:
    """Read a study file and make its runs; each is checked as far as possible without its data.

    Args:
        path: ``STUDY/study.toml``, or its folder.
        overrides: ``section.key=value`` each, for every run.
        ranks: Most ranks of a run; replaces the study's own number.
        use: Files and modules of the user's own, as the command line names them.

    Raises:
        Fault: With one sentence for each mistake in the study, or in the first wrong runs.
        OwnError: If code of the user's own raises an error when it is loaded.
    """
    name, path = name_of(path), shipped.find(path)
    path = path / "study.toml" if path.is_dir() else path
    file = study_file.read(path)
    used = runfile.begin(use)
    used += [plugins.load(own, path.parent, subject=f"use = {shown(own)}") for own in file.use]
    runs = tuple(_runs(_Maker(path.parent, file, overrides, ranks, used)))
    if not runs:
        raise Fault(f"The study {path} has no run: its exclude list leaves none.")
    return Study(name, tuple(axis.name for axis in file.axes), runs)


def name_of(path: Path) -> str:
    """The name of a study: of its folder, or of its file if that is not ``study.toml``."""
    path = shipped.find(path).resolve()
    if path.name == "study.toml":
        return path.parent.name
    return path.name if path.is_dir() else path.stem


FAULTS = 10
"""Sentences after which the rest of a study is not checked."""


def _runs(maker: "_Maker") -> Iterator[Run]:
    faults: list[str] = []
    taken: dict[str, Labels] = {}
    for labels in study_file.combinations(maker.file):
        try:
            run = maker.make(labels)
        except Fault as fault:
            where = ", ".join(f"{axis} {label}" for axis, label in labels.items())
            faults += [f"{sentence} (in the run of {where})" for sentence in fault.sentences]
            if len(faults) >= FAULTS:
                break
            continue
        if run.name in taken:
            where = " and ".join(", ".join(which.values()) for which in (taken[run.name], labels))
            raise Fault(f"Two runs are the same: {where}; an axis changes nothing.")
        taken[run.name] = labels
        yield run
    if faults:
        raise Fault(*faults)


class _Maker:
    """Makes the runs of a study file; base files are read, and graphs built, once."""

    def __init__(
        self,
        folder: Path,
        file: StudyFile,
        overrides: Sequence[str],
        ranks: int | None,
        use: Sequence[str],
    ) -> None:
        self.file = file
        self._folder, self._overrides, self._ranks = folder, overrides, ranks
        self._use = use
        self._bases: dict[str, toml.Tables] = {}
        self._topologies: dict[str, graphs.Topology] = {}

    def make(self, labels: Labels) -> Run:
        """The run with these labels on the axes.

        Raises:
            Fault: With one sentence for each mistake.
        """
        pieces = [axis.pieces[labels[axis.name]] for axis in self.file.axes]
        base, ranks = (self._own(key, pieces) for key in study_file.OWN)
        if base not in self._bases:
            self._bases[base] = toml.read(self._folder / base)
            near = [(self._folder / base).parent]
            runfile.bring(self._bases[base], plan.KINDS, near, lambda key: True)
        tables = deepcopy(self._bases[base])
        runfile.add_use(tables, self._use)
        for piece in pieces:
            own = {key: piece[key] for key in piece if key not in study_file.OWN}
            runfile.lay_over(tables, study_file.filled(own, labels), plan.KINDS)
            named = {f"{section}.{key}" for section, table in own.items() for key in table}
            runfile.bring(tables, plan.KINDS, [self._folder], named.__contains__)
        runfile.override(tables, self._overrides, plan.KINDS)
        checked = runfile.validate({**tables, "name": "run"}, plan.KINDS)
        folders = [(self._folder / base).parent, self._folder]
        # The name does not depend on where files lie, so that a run has one name on all machines.
        name = "-".join([*(clean(labels[axis]) for axis in self.file.prefix), identity(checked)])
        placed = runfile.placed(replace(checked, name=name), folders, self._overrides)
        return self._checked(placed, labels, ranks)

    def _own(self, key: str, pieces: Sequence[Mapping[str, Any]]) -> Any:
        """The value that the last group with this key sets, else the study's."""
        default = getattr(self.file, key)
        return next((piece[key] for piece in reversed(pieces) if key in piece), default)

    def _checked(self, file: RunFile, labels: Labels, ranks: Any) -> Run:
        if file.topology.file is None and file.topology.devices is None:
            raise Fault("topology.devices is missing: a run of a study must set it.")
        if ranks != "devices" and (not isinstance(ranks, int) or ranks < 1):
            raise Fault(f"ranks = {shown(ranks)}: {StudyFile.model_fields['ranks'].description}.")
        key = f"{file.topology.model_dump_json()} {file.training.rounds}"
        if key not in self._topologies:
            self._topologies[key] = graphs.build(file.topology, 1, file.training.rounds)
        topology = self._topologies[key]
        most = self._ranks or (len(topology) if ranks == "devices" else ranks)
        number = ranks_of(file, topology, most)
        plan.make(file, number, topology)
        return Run(file, labels, number, len(topology))


def ranks_of(file: RunFile, topology: graphs.Topology, most: int) -> int:
    """Number of ranks of a run: as its hosts list says, or one for each device up to a limit."""
    hosts = file.placement.hosts
    return max(hosts) + 1 if isinstance(hosts, list) and hosts else min(len(topology), most)


def identity(file: RunFile) -> str:
    """A hash of the settings that decide the results of a run.

    Settings with their default value are left out, so that the hash stays when mpidl gets a new
    setting; so are settings that no result depends on.
    """
    sections: dict[str, Any] = {}
    for section in runfile.SECTIONS:
        skipped = runfile.WITHOUT_EFFECT.get(section, [])
        chosen = getattr(file, section).model_dump(exclude_defaults=True, exclude_none=True)
        if skipped is not None:
            sections[section] = {key: chosen[key] for key in sorted(chosen) if key not in skipped}
    text = tomli_w.dumps(
        {section: sections[section] for section in sorted(sections) if sections[section]}
    )
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def clean(label: str) -> str:
    """A label as a run's name has it: letters, digits, ``_`` and ``.``, shortened."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", label).strip("_.")[:LABEL]


def phases(runs: Iterable[Run], site: Site) -> Iterator[tuple[Shape, list[Run]]]:
    """Runs that take the same nodes and places, with the shape of the largest; largest first."""
    alike: dict[tuple[int, int], list[Run]] = {}
    for run in runs:
        shape = shapes.shape(site, run.ranks)
        alike.setdefault((shape.nodes, shape.places), []).append(run)
    for key in sorted(alike, reverse=True):
        yield shapes.shape(site, max(run.ranks for run in alike[key])), alike[key]


def check_data(study: Study) -> None:
    """Check that the data of every run is there, and that its model and OOD kind take it.

    Raises:
        Fault: With one sentence for each mistake.
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
            loading.foresee(run.file)
        except Fault as fault:
            faults |= dict.fromkeys(fault.sentences)
    if faults:
        raise Fault(*faults)
