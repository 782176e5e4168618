"""Many runs side by side: in what they differ, and their numbers as tables."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from mpidl.config import runfile
from mpidl.config.toml import NAMERS
from mpidl.report import labels, origins, summary
from mpidl.report.labels import GRAPH, JOINT, NAMED
from mpidl.report.summary import Summary

IDLE = ("attack.devices", "attack.from_round")
"""Settings that decide nothing where there is no attack."""


@dataclass(frozen=True, eq=False)
class Collection:
    """The runs that a report is about.

    A *factor* is a setting that is not the same in all of them: found by comparing resolved run
    files, without seeds, without what no result depends on, and without parameters that differ
    only because another builder is named. Graphs from files count as one factor, ``graph``, by
    what they hold; of those of the published study only the kind counts, and which one of its
    kind a graph is counts as a seed, ``graph.seed``. Data of one name count as a factor,
    ``data.content``, where they are not the published ones.

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
        names = origins.named(self.summaries)
        return {name: _mattering(one, names) for name, one in self.summaries.items()}

    @cached_property
    def differing(self) -> list[str]:
        """Settings that differ between runs, seeds included, in the order of a run file."""
        return _keys(list(self.settings.values()))

    @property
    def factors(self) -> list[str]:
        """Settings that differ between runs, without seeds."""
        return [key for key in self.differing if not _seeds(key)]

    @cached_property
    def compared(self) -> labels.Compared:
        """What the labels of runs stand for."""
        return labels.compared(self.factors, self.kind.upper())

    @cached_property
    def kind(self) -> str:
        """Of the test set by which runs are compared: ``"ood"``, or ``"iid"`` where none has it."""
        runs = self.summaries.values()
        return "ood" if any(len(one.curves["ood"].rounds) for one in runs) else "iid"

    @property
    def measure(self) -> str:
        """The number by which runs are compared: the level, which is an accuracy."""
        return f"{self.kind}_level"

    @property
    def reaching(self) -> str:
        """The number of rounds until the threshold."""
        return f"{'iid_' * (self.kind == 'iid')}rounds_to_threshold"

    @cached_property
    def runs(self) -> pd.DataFrame:
        """A line for each run.

        ``run``; ``strategy``, the names that differ of :data:`mpidl.report.labels.NAMED`, joined by
        :data:`mpidl.report.labels.JOINT`, and what else tells it from others of these names;
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
                    "cell": self._label(told, _cells),
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
        """A line for each run, kind and measured round (from 1), with the mean over devices.

        ``seconds`` until the round ended are simulated, NaN where no network takes time.
        """
        return pd.concat(
            [
                pd.DataFrame(
                    {
                        "run": name,
                        "kind": kind,
                        "round": curve.rounds,
                        "seconds": curve.seconds,
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
    def _namers(self) -> list[str]:
        """The settings by which rules are called."""
        namers = [f"{section}.name" for section in NAMED]
        return [key for key in namers if key in self.factors] or ["strategy.name"]

    @cached_property
    def _variants(self) -> dict[str, list[str]]:
        """By what a rule is called the settings that tell apart the runs of that name."""
        rows: dict[str, list[Mapping[str, Any]]] = {}
        for row in self.settings.values():
            rows.setdefault(self._called(row), []).append(row)
        return {name: [*filter(labels.rules, _keys(found))] for name, found in rows.items()}

    @cached_property
    def _builders(self) -> dict[str, set[str]]:
        """By setting that differs the builders that have it in some run; graphs need none."""
        rows, keys = self.settings.values(), [*filter(_settable, self.differing)]
        return {key: {labels.builder(key, row) for row in rows if key in row} for key in keys}

    def _called(self, told: Mapping[str, Any]) -> str:
        return JOINT.join(str(told.get(key, labels.USUAL)) for key in self._namers)

    def _strategy(self, told: Mapping[str, Any]) -> str:
        name = self._called(told)
        return ", ".join([name, *self._words(told, self._variants[name])])

    def _label(self, told: Mapping[str, Any], chosen: Callable[[str], bool]) -> str:
        return ", ".join(self._words(told, filter(chosen, self.differing))) or "-"

    def _words(self, told: Mapping[str, Any], keys: Iterable[str]) -> Iterator[str]:
        """Those of some settings that a run has, and those that it could have."""
        for key in keys:
            if key in told:
                yield labels.told(key, told[key])
            elif labels.builder(key, told) in self._builders.get(key, ()):
                yield f"{labels.called(key)} unset"


def _mattering(one: Summary, graphs: Mapping[str, str]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for key, value in one.settings.items():
        section, _, setting = key.partition(".")
        skipped = runfile.WITHOUT_EFFECT.get(section, [])
        if section != "name" and skipped is not None and setting not in skipped:
            told[key] = value
    if told.get("attack.name", "none") == "none":
        told = {key: value for key, value in told.items() if key not in IDLE}
    if told.pop("topology.file", None) is not None:
        told.pop("topology.devices", None)
        told = {**origins.graph(one, graphs), **told}
    return {**told, **origins.data(one)}


def _keys(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings in which runs differ."""
    return [key for key in dict.fromkeys(k for row in rows for k in row) if _differs(key, rows)]


def _differs(key: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a setting differs between runs that name the same builder in its section."""
    if key.partition(".")[2] in NAMERS:
        return len({str(row.get(key)) for row in rows}) > 1
    values: dict[str, set[str]] = {}
    for row in rows:
        values.setdefault(labels.builder(key, row), set()).add(str(row.get(key)))
    return any(len(found) > 1 for found in values.values())


def _seeds(key: str) -> bool:
    return key.partition(".")[2] == "seed"


def _cells(key: str) -> bool:
    return not labels.rules(key) and not _seeds(key)


def _settable(key: str) -> bool:
    return key.partition(".")[0] != GRAPH


def _shorter(seeds: str) -> str:
    """One seed where all of them are the same, as they mostly are."""
    different = set(seeds.split(", "))
    return different.pop() if len(different) == 1 else seeds


def _cell(value: Any) -> Any:
    return str(value) if isinstance(value, list | dict) else value
