"""Study files: the base run file, axes along which settings vary, and excluded combinations."""

import itertools
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mpidl.config import toml
from mpidl.config.faults import Fault, nearest, shown
from mpidl.config.runfile import Count, Section

FIELD = re.compile(r"\{(\w+)\}")
"""Where a text refers to the label of an axis."""

OWN = ("base", "ranks")
"""Keys that a group may have beside a run file's sections."""

Labels = Mapping[str, str]


class Axis(Section):
    """An axis: one setting with its values, or named groups of settings that vary together.

    A group is a piece of a run file; it may also name another ``base`` file, and ``ranks``.
    """

    name: str = Field(pattern=r"^\w+$", description="must be a word")
    set: str | None = None
    values: list[Any] | None = None
    groups: dict[str, dict[str, Any]] | None = None

    @cached_property
    def pieces(self) -> dict[str, dict[str, Any]]:
        """The settings that are laid over the base file, by label."""
        if self.groups is not None:
            return self.groups
        section, _, key = (self.set or "").rpartition(".")
        return {_label(value): {section: {key: value}} for value in self.values or []}


class StudyFile(Section):
    """A study file.

    Attributes:
        base: A run file; a path from the folder of the study file.
        use: Files, from that folder, and modules with code of the user's own, for every run.
        prefix: The axes whose labels begin a run's name.
        ranks: Most ranks of a run; ``"devices"`` means one for each device.
    """

    base: str
    use: list[str] = Field(
        default_factory=list,
        description="must be a list of files and modules, as ['my_ideas.py']",
    )
    prefix: list[str] = Field(default_factory=list)
    ranks: Count | Literal["devices"] = Field(
        "devices", description="must be a number of at least 1, or 'devices'"
    )
    axes: list[Axis]
    exclude: list[dict[str, str | list[str]]] = Field(
        default_factory=list, description="must be tables of labels, which are texts such as '1'"
    )


def read(path: Path) -> StudyFile:
    """Read a study file.

    Raises:
        Fault: With one sentence for each mistake.
    """
    tables, faults = toml.read(path, "study file"), list[str]()
    axes = tables.get("axes")
    for number, table in enumerate(axes if isinstance(axes, list) else []):
        try:
            toml.check(f"axes[{number}]", Axis, table, None)
        except Fault as fault:
            faults += fault.sentences
    if faults:
        raise Fault(*faults)
    file: StudyFile = toml.check("study", StudyFile, tables, None)
    _check(file)
    return file


def _check(file: StudyFile) -> None:
    labels = {axis.name: axis for axis in file.axes}
    faults = [
        f"axes: two axes have the name {name!r}." for name in _twice(a.name for a in file.axes)
    ]
    for axis in file.axes:
        by_value = axis.set is not None and axis.values is not None and axis.groups is None
        by_group = axis.groups is not None and axis.set is None and axis.values is None
        if not by_value and not by_group:
            faults.append(f"axes: axis {axis.name!r} must have either set and values, or groups.")
        elif by_value and (axis.set or "").count(".") != 1:
            faults.append(f"axes: set = {shown(axis.set)}: must be section.key.")
        elif len(axis.pieces) != len(axis.groups or axis.values or []):
            faults.append(f"axes: two values of axis {axis.name!r} have the same label.")
        elif not axis.pieces:
            faults.append(f"axes: axis {axis.name!r} has no value.")
    known = [name for name in file.prefix if name not in labels]
    faults += [f"prefix: unknown axis {name!r}; {nearest(name, labels)}" for name in known]
    for rule in file.exclude:
        for name, excluded in rule.items():
            if name not in labels:
                faults.append(f"exclude: unknown axis {name!r}; {nearest(name, labels)}")
                continue
            for label in _listed(excluded):
                if label not in labels[name].pieces:
                    remedy = nearest(label, labels[name].pieces)
                    faults.append(f"exclude: axis {name!r} has no value {label!r}; {remedy}")
    if faults:
        raise Fault(*faults)


def combinations(file: StudyFile) -> Iterator[Labels]:
    """The labels of each run, by axis; the last axis varies fastest."""
    names = [axis.name for axis in file.axes]
    for chosen in itertools.product(*(axis.pieces for axis in file.axes)):
        labels = dict(zip(names, chosen, strict=True))
        if not any(
            all(labels[axis] in _listed(excluded) for axis, excluded in rule.items())
            for rule in file.exclude
        ):
            yield labels


def filled(value: Any, labels: Labels) -> Any:
    """A copy of a value; in its texts ``{axis}`` is replaced by the label on that axis."""
    if isinstance(value, dict):
        return {key: filled(item, labels) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, labels) for item in value]
    if not isinstance(value, str):
        return value

    def label(match: re.Match[str]) -> str:
        if match[1] not in labels:
            raise Fault(f"{shown(value)}: unknown axis {match[1]!r}; {nearest(match[1], labels)}")
        return labels[match[1]]

    text = FIELD.sub(label, value)
    # A text that is nothing but a field is the value itself, so that "{seed}" can be a number.
    return int(text) if FIELD.fullmatch(value) and text.isdigit() else text


def _label(value: Any) -> str:
    """The label of a value of an axis; for a path, the file's name without the suffix."""
    if isinstance(value, str):
        return Path(value).stem if "/" in value else value
    return str(value)


def _listed(labels: str | list[str]) -> list[str]:
    return [labels] if isinstance(labels, str) else labels


def _twice(names: Iterator[str]) -> list[str]:
    every: list[str] = list(names)
    return sorted({name for name in every if every.count(name) > 1})
