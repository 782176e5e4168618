"""Table of a study as CSV: a line for each completed run."""

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from mpidl.ensemble.folder import Folder
from mpidl.ensemble.study import Study
from mpidl.report import measures, recorded
from mpidl.storage import measured, untrusted
from mpidl.storage.results_file import completed
from mpidl.storage.schema import KINDS, MOMENTS


def text(study: Study, folder: Folder) -> str:
    """The table as CSV; it does not depend on how often the study was interrupted.

    For IID and for OOD data it has three numbers, as a report has them
    (:func:`mpidl.report.measures.by_device`): the mean accuracy over devices after the last round,
    the accuracy of the worst device, and the mean over devices of the level over all rounds; where
    a run has no accuracy, the same of its loss, infinite where a device diverged. They are measured
    after mixing, or after training if only that was recorded, without attackers.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = [f"{kind}_{measure}" for kind in KINDS for measure in ("last", "worst", "level")]
    writer.writerow(["run", *study.axes, "devices", "rounds", *columns])
    for run in study.runs:
        path = folder.results(run.name)
        if completed(path):
            writer.writerow([run.name, *run.labels.values(), *_numbers(path)])
    return out.getvalue()


def write(study: Study, folder: Folder) -> Path:
    """Write the table to ``table.csv``, and return its path."""
    path = folder.path / "table.csv"
    path.write_text(text(study, folder), encoding="utf-8")
    return path


def _numbers(path: Path) -> list[Any]:
    numbers: list[Any] = []
    with untrusted.opened(path) as file:
        series, placement = file["series"], file["placement"]
        value = measured.chief(series)
        for kind in KINDS:
            keys = (f"{kind}_{value}_{moment}" for moment in reversed(MOMENTS))
            curve = series[next(key for key in keys if key in series)][()]
            if not numbers:
                numbers += [curve.shape[1], curve.shape[0]]
            counted = np.ones(curve.shape[1], bool)
            if "attacker" in placement:
                counted = placement["attacker"][()] != 1
                curve[:, ~counted] = np.nan
            rounds = np.flatnonzero(np.isfinite(curve).any(axis=1))
            by_device = measures.by_device(curve[rounds], rounds)
            last, level = by_device["last"], by_device["level"]
            if recorded.less(value) and (kind == "iid" or placement["source"][()].any()):
                finite = series["finite"][()] if "finite" in series else np.ones(curve.shape)
                diverged = recorded.lost(curve, finite, counted)
                last[diverged] = level[diverged] = np.inf
            shown = measures.mean(last), measures.worst(last, value), measures.mean(level)
            numbers += map(_short, shown)
    return numbers


def _short(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"
