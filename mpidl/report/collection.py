"""Many runs side by side: in what they differ, and their numbers as tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mpidl import reader, runfile
from mpidl.faults import Fault
from mpidl.report import summary
from mpidl.report.paper import graphs
from mpidl.report.summary import Summary
from mpidl.tables import NAMERS

RULES = ("strategy", "schedule")
"""Sections that say how devices weigh; what differs in them tells strategies apart."""

GRAPH = "graph"
"""The factor that stands for the file of a graph: its kind, not which one of its kind it is."""


@dataclass(frozen=True)
class Collection:
    """The runs that a report is about.

    A *factor* is a setting that is not the same in all of them: found by comparing resolved run
    files, without seeds, without what no result depends on, and without parameters that differ
    only because another builder is named. Graphs from files count as one factor, ``graph``, by
    their kind: that of the published study, else the numbers of devices and links.

    Attributes:
        summaries: By name.
        skipped: Why each other file is none of them, a sentence each.
        threshold: Mean OOD accuracy until which rounds are counted.
    """

    summaries: Mapping[str, Summary]
    skipped: Sequence[str] = ()
    threshold: float = summary.THRESHOLD

    @cached_property
    def settings(self) -> dict[str, dict[str, Any]]:
        """For each run its settings that matter, with ``graph`` in place of a file's name."""
        return {name: _mattering(one) for name, one in self.summaries.items()}

    @cached_property
    def differing(self) -> list[str]:
        """Settings that differ between runs, seeds included, in the order of a run file."""
        return _keys(list(self.settings.values()))

    @property
    def factors(self) -> list[str]:
        """Settings that differ between runs, without seeds."""
        return [key for key in self.differing if not _seeds(key)]

    @cached_property
    def runs(self) -> pd.DataFrame:
        """A line for each run.

        ``run``; ``strategy``, by name and by what else tells it from others of that name;
        ``cell``, all other factors; ``seed``; the factors; ``devices``, ``rounds``, ``done``,
        ``completed``; and the numbers of :func:`mpidl.report.summary.of`.
        """
        rows = []
        for name, one in self.summaries.items():
            told = self.settings[name]
            rows.append(
                {
                    "run": name,
                    "strategy": self._strategy(told),
                    "cell": self._label(told, lambda key: not _rules(key) and not _seeds(key)),
                    "seed": _shorter(self._label(told, _seeds)),
                    **{key: _cell(told.get(key)) for key in self.factors},
                    "devices": one.devices,
                    "rounds": one.rounds,
                    "done": one.done,
                    "completed": one.completed,
                    **one.numbers,
                }
            )
        return pd.DataFrame(rows)

    @cached_property
    def devices(self) -> pd.DataFrame:
        """A line for each device of each run: ``run``, ``device``, and what each device has."""
        return pd.concat(
            [
                pd.DataFrame({"run": name, "device": range(one.devices), **one.by_device})
                for name, one in self.summaries.items()
            ],
            ignore_index=True,
        )

    @cached_property
    def curves(self) -> pd.DataFrame:
        """A line for each run, kind and measured round (from 1), with the mean over devices."""
        return pd.concat(
            [
                pd.DataFrame(
                    {
                        "run": name,
                        "kind": kind,
                        "round": curve.rounds,
                        "accuracy": curve.mean,
                        "low": curve.low,
                        "high": curve.high,
                    }
                )
                for name, one in self.summaries.items()
                for kind, curve in one.curves.items()
            ],
            ignore_index=True,
        )

    @cached_property
    def _variants(self) -> dict[str, list[str]]:
        """By strategy the settings that tell apart the runs of that name."""
        rows: dict[str, list[Mapping[str, Any]]] = {}
        for row in self.settings.values():
            rows.setdefault(str(row["strategy.name"]), []).append(row)
        return {name: [*filter(_rules, _keys(found))] for name, found in rows.items()}

    def _strategy(self, told: Mapping[str, Any]) -> str:
        name = str(told["strategy.name"])
        variants = (_told(key, told[key]) for key in self._variants[name] if key in told)
        return ", ".join([name, *variants])

    def _label(self, told: Mapping[str, Any], chosen: Callable[[str], bool]) -> str:
        return ", ".join(_told(k, told.get(k)) for k in self.differing if chosen(k)) or "-"


@dataclass
class Shelf:
    """Summaries that are kept, so that looking again reads only files that changed.

    Attributes:
        threshold: Mean OOD accuracy of which the round is told that reaches it.
    """

    threshold: float = summary.THRESHOLD
    _kept: dict[Path, tuple[tuple[int, int], Summary]] = field(default_factory=dict, init=False)

    def read(
        self,
        paths: Sequence[Path],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Collection:
        """Read results files; what cannot be read is told, not fatal.

        Args:
            paths: HDF5 files.
            progress: Is told how many of how many files are read.

        Raises:
            Fault: If no results file is among them.
        """
        found: dict[Path, Summary] = {}
        skipped: list[str] = []
        for count, path in enumerate(paths, 1):
            try:
                found[path] = self._summary(path)
            except Fault as fault:
                skipped += fault.sentences
            progress(count, len(paths))
        if not found:
            raise Fault(*skipped or ["There is no results file of mpidl."])
        settings = {path: one.settings for path, one in found.items()}
        names, doubles = reader.choose(settings, {path: one.done for path, one in found.items()})
        summaries = {name: found[path] for name, path in names.items()}
        return Collection(summaries, [*skipped, *doubles], self.threshold)

    def _summary(self, path: Path) -> Summary:
        try:
            state = path.stat()
        except OSError as error:
            raise Fault(f"Cannot read results from {path}: {error.strerror}.") from None
        mark = state.st_mtime_ns, state.st_size
        kept = self._kept.get(path)
        if kept is None or kept[0] != mark:
            kept = self._kept[path] = mark, summary.read(path, self.threshold)
        return kept[1]


def read(paths: Sequence[Path], threshold: float = summary.THRESHOLD) -> Collection:
    """Read results files once; see :meth:`Shelf.read`."""
    return Shelf(threshold).read(paths)


def _mattering(one: Summary) -> dict[str, Any]:
    told = {}
    for key, value in one.settings.items():
        section, _, setting = key.partition(".")
        skipped = runfile.UNTOLD.get(section, [])
        if section != "name" and skipped is not None and setting not in skipped:
            told[key] = value
    if told.pop("topology.file", None) is not None:
        told.pop("topology.devices", None)
        told = {GRAPH: kind(one), **told}
    return told


def kind(one: Summary) -> str:
    """What graphs that differ only by chance have in common."""
    found = graphs.known(one.edges, one.devices)
    return found[0] if found else f"{one.devices} devices, {one.numbers['links']:.0f} links"


def _keys(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings in which runs differ."""
    return [key for key in dict.fromkeys(k for row in rows for k in row) if _differs(key, rows)]


def _differs(key: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a setting differs between runs that name the same builder in its section."""
    section = key.partition(".")[0]
    namers = [f"{section}.{namer}" for namer in NAMERS]
    if key in namers:
        return len({str(row.get(key)) for row in rows}) > 1
    values: dict[str, set[str]] = {}
    for row in rows:
        builder = next((str(row[namer]) for namer in namers if namer in row), "")
        values.setdefault(builder, set()).add(str(row.get(key)))
    return any(len(found) > 1 for found in values.values())


def _seeds(key: str) -> bool:
    return key.partition(".")[2] == "seed"


def _rules(key: str) -> bool:
    return key.partition(".")[0] in RULES


def _shorter(seeds: str) -> str:
    """One seed where all of them are the same, as they mostly are."""
    different = set(seeds.split(", "))
    return different.pop() if len(different) == 1 else seeds


def _told(key: str, value: Any) -> str:
    """A setting as a label shows it: names speak for themselves, numbers do not."""
    if isinstance(value, str):
        return value
    setting = key.partition(".")[2] or key
    return f"{setting} {value}" if setting != "seed" else f"{value}"


def _cell(value: Any) -> Any:
    return str(value) if isinstance(value, list | dict) else value
