"""A study: a base run file, axes along which settings vary, and the runs that follow."""

import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import networkx as nx
import tomli_w
from pydantic import Field

from mpidl import graphs, plan, runfile, shards, tables
from mpidl.faults import Fault, shown
from mpidl.registry import nearest
from mpidl.runfile import Count, RunFile, Section

UNTOLD: dict[str, list[str] | None] = {
    "data": ["dir"],
    "placement": ["hosts"],
    "record": None,
    "checkpoint": None,
}
"""What a run's name does not depend on, as no result does: by section settings, or all of it."""

DIGITS = 10
"""Hexadecimal digits of the hash in a run's name: 1e12, for some thousand runs."""

LABEL = 16
"""Characters of each label in a run's name."""

FIELD = re.compile(r"\{(\w+)\}")
"""Where a text refers to the label of an axis."""

Labels = Mapping[str, str]


class Axis(Section):
    """What varies: a setting over values, or several settings together over named groups.

    A group is a piece of a run file; it may also name another base file.
    """

    name: str = Field(pattern=r"^\w+$", description="must be a word")
    set: str | None = None
    values: list[Any] | None = None
    groups: dict[str, dict[str, Any]] | None = None

    @cached_property
    def pieces(self) -> dict[str, dict[str, Any]]:
        """By label, what is laid over the base."""
        if self.groups is not None:
            return self.groups
        section, _, key = (self.set or "").rpartition(".")
        return {_label(value): {section: {key: value}} for value in self.values or []}


class File(Section):
    """A study file.

    Attributes:
        base: A run file; a path from the folder of the study file.
        prefix: The axes whose labels begin a run's name.
        ranks: Of each run, at most; ``"devices"`` means one for each device.
    """

    base: str
    prefix: list[str] = Field(default_factory=list)
    ranks: Count | Literal["devices"] = Field(
        "devices", description="must be a number of at least 1, or 'devices'"
    )
    axes: list[Axis]
    exclude: list[dict[str, str | list[str]]] = Field(default_factory=list)


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
    path = path / "study.toml" if path.is_dir() else path
    file = _file(tables.read(path, "study file"))
    name = path.resolve().parent.name if path.stem == "study" else path.stem
    _check_axes(file)
    limit = ranks or (None if file.ranks == "devices" else file.ranks)
    return Study(
        name, tuple(axis.name for axis in file.axes), tuple(_runs(path, file, overrides, limit))
    )


def _file(found: tables.Tables) -> File:
    """The study file in some tables, with one sentence for everything that is wrong with it."""
    faults: list[str] = []
    axes = found.get("axes")
    for number, table in enumerate(axes if isinstance(axes, list) else []):
        try:
            tables.check(f"axes[{number}]", Axis, table, None)
        except Fault as fault:
            faults += fault.sentences
    if faults:
        raise Fault(*faults)
    file: File = tables.check("study", File, found, None)
    return file


def _check_axes(file: File) -> None:
    labels = {axis.name: axis for axis in file.axes}
    faults = [
        f"axes: the name {name!r} is there twice." for name in _twice(a.name for a in file.axes)
    ]
    for axis in file.axes:
        by_value = axis.set is not None and axis.values is not None and axis.groups is None
        by_group = axis.groups is not None and axis.set is None and axis.values is None
        if not by_value and not by_group:
            faults.append(f"axes: {axis.name!r} needs either set and values, or groups.")
        elif by_value and (axis.set or "").count(".") != 1:
            faults.append(f"axes: set = {shown(axis.set)}: must be section.key.")
        elif len(axis.pieces) != len(axis.groups or axis.values or []):
            faults.append(f"axes: two values of {axis.name!r} have the same label.")
        elif not axis.pieces:
            faults.append(f"axes: {axis.name!r} has no value.")
    known = [name for name in file.prefix if name not in labels]
    faults += [f"prefix: unknown axis {name!r}; {nearest(name, labels)}" for name in known]
    for rule in file.exclude:
        for name, wanted in rule.items():
            if name not in labels:
                faults.append(f"exclude: unknown axis {name!r}; {nearest(name, labels)}")
                continue
            for label in _listed(wanted):
                if label not in labels[name].pieces:
                    told = nearest(label, labels[name].pieces)
                    faults.append(f"exclude: axis {name!r} has no value {label!r}; {told}")
    if faults:
        raise Fault(*faults)


FAULTS = 10
"""Runs whose faults are told before the rest is given up."""


def _runs(path: Path, file: File, overrides: Sequence[str], limit: int | None) -> Iterator[Run]:
    bases: dict[str, tables.Tables] = {}
    built: dict[str, nx.DiGraph] = {}
    faults: list[str] = []
    taken: dict[str, Labels] = {}
    for labels in _combinations(file):
        pieces = [axis.pieces[labels[axis.name]] for axis in file.axes]
        base = next((p["base"] for p in reversed(pieces) if "base" in p), file.base)
        if base not in bases:
            bases[base] = tables.read(path.parent / base)
        try:
            found = deepcopy(bases[base])
            for piece in pieces:
                lay = {key: _filled(value, labels) for key, value in piece.items() if key != "base"}
                runfile.lay_over(found, lay, plan.KINDS)
            runfile.override(found, overrides, plan.KINDS)
            run = _run(found, file, labels, limit, built)
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


def _run(
    found: tables.Tables,
    file: File,
    labels: Labels,
    limit: int | None,
    built: dict[str, nx.DiGraph],
) -> Run:
    read = runfile.validate({**found, "name": "run"}, plan.KINDS)
    if read.topology.file is None and read.topology.devices is None:
        raise Fault("topology.devices is missing: a study says how many devices its graphs have.")
    key = read.topology.model_dump_json()
    if key not in built:
        # Most runs of a study share their graph with others, and building it takes the longest.
        built[key] = graphs.build(read.topology, 1)
    graph = built[key]
    hosts, devices = read.placement.hosts, len(graph)
    ranks = max(hosts) + 1 if isinstance(hosts, list) and hosts else min(devices, limit or devices)
    plan.make(read, ranks, graph)
    name = "-".join([*(clean(labels[axis]) for axis in file.prefix), identity(read)])
    return Run(replace(read, name=name), labels, ranks, devices)


def _combinations(file: File) -> Iterator[Labels]:
    names = [axis.name for axis in file.axes]
    for chosen in itertools.product(*(axis.pieces for axis in file.axes)):
        labels = dict(zip(names, chosen, strict=True))
        if not any(
            all(labels[axis] in _listed(wanted) for axis, wanted in rule.items())
            for rule in file.exclude
        ):
            yield labels


def _filled(value: Any, labels: Labels) -> Any:
    """A value in whose texts ``{axis}`` is replaced by the label on that axis."""
    if isinstance(value, dict):
        return {key: _filled(one, labels) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, labels) for one in value]
    if not isinstance(value, str):
        return value

    def label(match: re.Match[str]) -> str:
        if match[1] not in labels:
            raise Fault(f"{shown(value)}: unknown axis {match[1]!r}; {nearest(match[1], labels)}")
        return labels[match[1]]

    text = FIELD.sub(label, value)
    # A text that is nothing but a field is the value itself, so that "{seed}" can be a number.
    return int(text) if FIELD.fullmatch(value) and text.isdigit() else text


def identity(file: RunFile) -> str:
    """A hash of what decides the results of a run, the same after a setting is added to mpidl.

    Settings that have their default value are left out, and so is what no result depends on.
    """
    told: dict[str, Any] = {}
    for section in runfile.SECTIONS:
        skipped = UNTOLD.get(section, [])
        chosen = getattr(file, section).model_dump(exclude_defaults=True, exclude_none=True)
        if skipped is not None:
            told[section] = {key: chosen[key] for key in sorted(chosen) if key not in skipped}
    text = tomli_w.dumps({section: told[section] for section in sorted(told) if told[section]})
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def clean(label: str) -> str:
    """A label as a run's name shows it: letters, digits, ``_`` and ``.``, not too many."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", label).strip("_.")[:LABEL]


def _label(value: Any) -> str:
    """What a value of an axis is called: a file by its stem."""
    if isinstance(value, str):
        return Path(value).stem if "/" in value else value
    return str(value)


def _listed(wanted: str | list[str]) -> list[str]:
    return [wanted] if isinstance(wanted, str) else wanted


def _twice(names: Iterator[str]) -> list[str]:
    seen: list[str] = list(names)
    return sorted({name for name in seen if seen.count(name) > 1})


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
            shards.foresee(run.file)
        except Fault as fault:
            faults |= dict.fromkeys(fault.sentences)
    if faults:
        raise Fault(*faults)
