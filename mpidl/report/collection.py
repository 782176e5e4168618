"""Collection of runs: the settings in which they differ, and their numbers as tables."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mpidl.config import runfile
from mpidl.config.toml import NAMERS
from mpidl.report import labels, origins, summary
from mpidl.report.labels import GRAPH, JOINT, NAMED
from mpidl.report.summary import Summary

IDLE = ("attack.devices", "attack.from_round")
"""Settings without effect if there is no attack."""


@dataclass(frozen=True, eq=False)
class Collection:
    """The runs of a report.

    A *factor* is a setting that differs between runs, found by comparing resolved run files. Seeds,
    settings without effect on results, and parameters that differ only because another builder is
    named, are no factors. Graphs from files are one factor, ``graph``, by their content; for graphs
    of the published study the kind is the factor, and the number within its kind is a seed,
    ``graph.seed``. The content of data, ``data.content``, is a factor if it is not the published
    content.

    Attributes:
        summaries: The summary of each run, by name.
        skipped: A sentence for each file that is left out, with the reason.
        threshold: Mean OOD accuracy until which rounds are counted.
    """

    summaries: Mapping[str, Summary]
    skipped: Sequence[str] = ()
    threshold: float = summary.THRESHOLD

    @cached_property
    def settings(self) -> dict[str, dict[str, Any]]:
        """For each run its settings that affect results; ``graph`` replaces the name of a file."""
        names = origins.named(self.summaries)
        return {name: _effective(one, names) for name, one in self.summaries.items()}

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
        """The words for what the labels of runs stand for."""
        return labels.compared(self.factors, self.kind.upper(), self.value)

    @property
    def value(self) -> str:
        """What runs are compared by, ``"accuracy"`` or ``"loss"``; the same for all of them."""
        return next(iter(self.summaries.values())).value

    @property
    def own(self) -> list[str]:
        """Names of the values of tasks beside loss and accuracy."""
        return [*dict.fromkeys(name for one in self.summaries.values() for name in one.own)]

    @cached_property
    def kind(self) -> str:
        """The test set by which runs are compared: ``"ood"``, or ``"iid"`` without OOD data."""
        runs = self.summaries.values()
        return "ood" if any(len(one.curves["ood"].rounds) for one in runs) else "iid"

    @property
    def measure(self) -> str:
        """The name of the number by which runs are compared: the level, an accuracy or a loss."""
        return f"{self.kind}_level"

    @property
    def reaching(self) -> str:
        """The name of the number of rounds until the threshold."""
        return f"{'iid_' * (self.kind == 'iid')}rounds_to_threshold"

    @cached_property
    def runs(self) -> pd.DataFrame:
        """A line for each run.

        ``run``; ``strategy``, those names of :data:`mpidl.report.labels.NAMED` that differ, joined
        by :data:`mpidl.report.labels.JOINT`, and further settings of strategies that differ;
        ``cell``, all other factors; ``seed``; the factors; ``devices``, ``rounds``, ``done``,
        ``completed``; and the numbers of :func:`mpidl.report.summary.of`.
        """
        rows = []
        for name, one in self.summaries.items():
            settings = self.settings[name]
            rows.append(
                {
                    "run": name,
                    "strategy": self._strategy(settings),
                    "cell": self._label(settings, _cells),
                    "seed": _shorter(self._label(settings, _seeds)),
                    **{key: _cell(settings.get(key)) for key in self.factors},
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
        """A line for each device of each run: ``run``, ``device``, and the device's numbers."""
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

        ``seconds`` until the end of the round are simulated, NaN without a network that takes time.
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
        """The settings whose names make up the name of a strategy."""
        namers = [f"{section}.name" for section in NAMED]
        return [key for key in namers if key in self.factors] or ["strategy.name"]

    @cached_property
    def _variants(self) -> dict[str, list[str]]:
        """The settings in which runs of a strategy differ, by its name."""
        rows: dict[str, list[Mapping[str, Any]]] = {}
        for row in self.settings.values():
            rows.setdefault(self._called(row), []).append(row)
        return {name: [*filter(labels.rules, _keys(found))] for name, found in rows.items()}

    @cached_property
    def _builders(self) -> dict[str, set[str]]:
        """The builders that have a setting in some run, by differing setting; graphs have none."""
        rows, keys = self.settings.values(), [*filter(_settable, self.differing)]
        return {key: {labels.builder(key, row) for row in rows if key in row} for key in keys}

    def _called(self, settings: Mapping[str, Any]) -> str:
        return JOINT.join(str(settings.get(key, labels.USUAL)) for key in self._namers)

    def _strategy(self, settings: Mapping[str, Any]) -> str:
        name = self._called(settings)
        return ", ".join([name, *self._words(settings, self._variants[name])])

    def _label(self, settings: Mapping[str, Any], chosen: Callable[[str], bool]) -> str:
        return ", ".join(self._words(settings, filter(chosen, self.differing))) or "-"

    def _words(self, settings: Mapping[str, Any], keys: Iterable[str]) -> Iterator[str]:
        """Labels of the settings that a run has, and of those that it could have."""
        for key in keys:
            if key in settings:
                yield labels.text(key, settings[key])
            elif labels.builder(key, settings) in self._builders.get(key, ()):
                yield f"{labels.name(key)} unset"


def highest(collection: Collection) -> float:
    """The top of small curves that are drawn together: 1 for accuracy, else the greatest loss."""
    if collection.value == "accuracy":
        return 1.0
    means = [one.curves[collection.kind].mean for one in collection.summaries.values()]
    fine = [float(one[np.isfinite(one)].max()) for one in means if np.isfinite(one).any()]
    return max(fine, default=1.0) or 1.0


def _effective(summary: Summary, graphs: Mapping[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for key, value in summary.settings.items():
        section, _, setting = key.partition(".")
        skipped = runfile.WITHOUT_EFFECT.get(section, [])
        if section != "name" and skipped is not None and setting not in skipped:
            settings[key] = value
    if settings.get("attack.name", "none") == "none":
        settings = {key: value for key, value in settings.items() if key not in IDLE}
    if settings.pop("topology.file", None) is not None:
        settings.pop("topology.devices", None)
        settings = {**origins.graph(summary, graphs), **settings}
    return {**settings, **origins.data(summary)}


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
    return any(len(different) > 1 for different in values.values())


def _seeds(key: str) -> bool:
    return key.partition(".")[2] == "seed"


def _cells(key: str) -> bool:
    return not labels.rules(key) and not _seeds(key)


def _settable(key: str) -> bool:
    return key.partition(".")[0] != GRAPH


def _shorter(seeds: str) -> str:
    """The seed, once if all seeds are the same, as they mostly are."""
    different = set(seeds.split(", "))
    return different.pop() if len(different) == 1 else seeds


def _cell(value: Any) -> Any:
    return str(value) if isinstance(value, list | dict) else value
