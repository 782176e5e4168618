"""Facts of a page about its runs: abstract, headline, warnings, settings, versions."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mpidl.report import labels
from mpidl.report.collection import Collection
from mpidl.report.labels import Compared
from mpidl.report.page import table
from mpidl.report.summary import Summary
from mpidl.storage import schema

SHOWN = 12
"""Most values of a setting that are listed; the others are counted."""

WIDTH = 240
"""Most characters of the listed values together."""

OPEN = 3
"""Most similar warnings that are shown one by one; more are folded."""

OF_RUN = (
    *("ood_last", "ood_worst", "ood_level", "iid_last", "difference", "rounds_to_threshold"),
    *("consensus_last", "source_stationary", "passage_spearman", "gap", "modularity"),
    *("seconds", "bytes"),
)
"""The numbers that head the page of one run."""

NAMES = (
    ("strategy", "strategies", ""),
    ("algorithm", "algorithms", labels.USUAL),
    ("attack", "attacks", "none"),
)
"""Sections that an abstract names: singular, plural, and the name that is not mentioned."""

UNVERSIONED = ("name", "started", "rounds_done", "completed")
"""Attributes of a results file that the page shows elsewhere."""


@dataclass(frozen=True)
class Fact:
    """A number with its name: ``value`` of ``head`` in ``unit``; ``why`` says what it means."""

    head: str
    value: str
    unit: str = ""
    why: str = ""


@dataclass(frozen=True)
class Concern:
    """Similar warnings: the first one, and all of them with the run of each."""

    sentence: str
    entries: Sequence[tuple[str, str]]

    @property
    def folded(self) -> bool:
        """Whether there are too many to show one by one."""
        return self.count > OPEN

    @property
    def count(self) -> int:
        """Number of warnings."""
        return len(self.entries)


def title(collection: Collection) -> str:
    """The name of the run, or of the folder of all runs."""
    names = list(collection.summaries)
    if len(names) == 1:
        return names[0]
    folders = {one.path.parent.name for one in collection.summaries.values()}
    return folders.pop() if len(folders) == 1 else f"{len(names)} runs"


def abstract(collection: Collection) -> str:
    """A sentence on the subject of the page."""
    runs = list(collection.summaries.values())
    devices = _range({one.devices for one in runs})
    which = f"{len(runs):,} runs" if len(runs) > 1 else "One run"
    subject = f"{which} of decentralized learning on {devices} devices: "
    parts = [f"data {_several(runs, 'data.name')}", f"model {_several(runs, 'model.name')}"]
    for singular, plural, usual in NAMES:
        names = labels.ordered(str(one.settings.get(f"{singular}.name", usual)) for one in runs)
        if names != [usual]:
            parts.append(f"{singular if len(names) == 1 else plural} {_listed(names)}")
    parts.append(_sources(runs))
    return subject + "; ".join(parts) + "."


def _sources(runs: Sequence[Summary]) -> str:
    if not any((one.by_device["source"] == 1).any() for one in runs):
        return "no out-of-distribution data"
    sources = _range({int((one.by_device["source"] == 1).sum()) for one in runs})
    word = "device" if sources == "1" else "devices"
    return f"out-of-distribution data ({_several(runs, 'ood.name')}) on {sources} {word}"


def _several(runs: Iterable[Summary], key: str) -> str:
    return _listed(sorted({str(one.settings.get(key, "-")) for one in runs}))


def _listed(names: Sequence[str]) -> str:
    if len(names) > SHOWN:
        names = [*names[:SHOWN], f"{len(names) - SHOWN} more"]
    return " and ".join([*[", ".join(names[:-1])] * (len(names) > 1), names[-1]])


def _range(numbers: set[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def made(collection: Collection) -> str:
    """Text with the versions of mpidl that made the runs, and the times of their start."""
    runs = collection.summaries.values()
    versions = sorted({str(one.made.get("mpidl", "")) for one in runs} - {""})
    started = sorted({str(one.made.get("started", "")) for one in runs} - {""})
    parts = [f"mpidl {_listed(versions)}"] if versions else []
    if started:
        first, last = _moment(started[0]), _moment(started[-1])
        parts.append(f"started {first}" if first == last else f"started {first} to {last}")
    return "; ".join(parts)


def _moment(stamp: str) -> str:
    return re.sub(r"T(\d\d:\d\d)(:\d\d)?\+00:00$", r" \1 UTC", stamp)


def headline(collection: Collection) -> list[Fact]:
    """The numbers that come first."""
    runs = list(collection.summaries.values())
    if len(runs) == 1:
        (one,) = runs
        done = Fact(
            "Rounds", f"{one.done}/{one.rounds}", why="Whole in the results file, and asked for."
        )
        links = Fact(
            "Graph", f"{one.numbers['links']:.0f}", "links", f"Between {one.devices} devices."
        )
        own = [f"{kind}_{name}_last" for name in one.own for kind in schema.KINDS]
        keys = [key for key in (*OF_RUN[:5], *own, *OF_RUN[5:]) if key in one.numbers]
        if one.value != "accuracy":
            keys = [key for key in keys if not math.isnan(one.numbers[key])]
        facts = [_fact(one.numbers[key], key, collection.compared) for key in keys]
        return [*facts, *_threshold(collection), links, done]
    rows, compared = collection.runs, collection.compared
    many = compared.many.capitalize()
    completed = sum(one.completed for one in runs)
    return [
        Fact("Runs", f"{len(runs):,}", why="Results files that were read."),
        Fact("Completed", f"{completed:,}", why="Runs that came to their end."),
        *(
            Fact(name, f"{rows[key].nunique():,}", why=table.described(key, "", compared).why)
            for name, key in ((many, "strategy"), ("Cells", "cell"), ("Seeds", "seed"))
        ),
        Fact("Devices", _range({one.devices for one in runs}), why="Learners of a run."),
        Fact("Rounds", _range({one.rounds for one in runs}), why="Asked for in a run."),
        *_threshold(collection),
        _fact(sum(one.numbers["seconds"] for one in runs), "seconds"),
    ]


def _threshold(collection: Collection) -> list[Fact]:
    """The threshold of accuracy; losses have none."""
    if collection.value != "accuracy":
        return []
    meaning = "Mean accuracy until which rounds and simulated seconds are counted."
    return [Fact("Threshold", f"{collection.threshold:g}", why=meaning)]


def _fact(value: float, key: str, compared: Compared = table.STRATEGIES) -> Fact:
    described = table.described(key, "", compared)
    column, (shown,) = table.column(described, pd.Series([value]))
    unit = column.unit.removesuffix("s") if shown == "1" and column.unit != "s" else column.unit
    return Fact(column.head, shown, unit, column.why)


def concerns(collection: Collection) -> list[Concern]:
    """Warnings about all runs and about files that are left out, grouped if similar."""
    by_shape: dict[str, list[tuple[str, str]]] = {}
    several = len(collection.summaries) > 1
    for name, one in collection.summaries.items():
        for sentence in one.warnings:
            by_shape.setdefault(_shape(sentence), []).append((name if several else "", sentence))
    for sentence in collection.skipped:
        by_shape.setdefault(_left_out(sentence), []).append(("", sentence))
    return [Concern(entries[0][1], entries) for entries in by_shape.values()]


def _shape(sentence: str) -> str:
    """A warning without its numbers, which similar warnings share."""
    plain = re.sub(r"\bdevices? [\d, ]+( and \d+ more)?", "devices ", sentence)
    return re.sub(r"\d[\d.,]*", "#", plain)


def _left_out(sentence: str) -> str:
    return "skipped: " + _shape(re.sub(r"\S*[/\\]\S*", "", sentence))


def settings(collection: Collection) -> tuple[list[Fact], list[Fact]]:
    """Settings that differ between runs, each with its values; and all others."""
    rows = list(collection.settings.values())
    keys = dict.fromkeys(key for row in rows for key in row)
    differing = set(collection.differing)
    by_key = {key: Fact(key, _values([row.get(key) for row in rows])) for key in keys}
    return (
        [by_key[key] for key in keys if key in differing],
        [by_key[key] for key in keys if key not in differing],
    )


def versions(collection: Collection) -> list[Fact]:
    """Versions, machine and command of the runs."""
    rows: list[Mapping[str, Any]] = [one.made for one in collection.summaries.values()]
    keys = dict.fromkeys(key for row in rows for key in row if key not in UNVERSIONED)
    return [Fact(key, _values([row.get(key) for row in rows])) for key in keys]


def _values(values: Sequence[Any]) -> str:
    """The different values, the most frequent first, with counts if there are several."""
    counts = Counter(table.words(value) for value in values if value is not None)
    missing = sum(value is None for value in values)
    if len(counts) == 1 and not missing:
        return next(iter(counts))
    several = max(counts.values(), default=0) > 1 or len(counts) <= SHOWN
    listed: list[str] = []
    for value, count in counts.most_common():
        if listed and (len(listed) >= SHOWN or len(", ".join(listed)) + len(value) > WIDTH):
            break
        listed.append(f"{value} ({count:,})" if several else value)
    if len(listed) < len(counts):
        listed.append(f"{len(counts) - len(listed):,} more")
    return ", ".join(listed)


def sparkline(mean: Sequence[float]) -> str:
    """The SVG path of a curve of shares in a box of 72 by 18, with at most 36 points; or empty."""
    values = [value for value in mean if math.isfinite(value)]
    if not values:
        return ""
    step = max(1, -(-len(values) // 36))
    chosen = [*values[:-1:step], values[-1]]
    across = 68 / max(1, len(chosen) - 1)
    points = [
        f"{2 + across * at:.0f} {16 - 14 * min(1, max(0, value)):.0f}"
        for at, value in enumerate(chosen)
    ]
    return "M" + "L".join(points if len(points) > 1 else points * 2)
