"""The table of a study: a line for each run that is done."""

import csv
import io
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mpidl.ensemble.folder import Folder
from mpidl.ensemble.study import Study
from mpidl.results import completed

KINDS = ("iid", "ood")


def text(study: Study, folder: Folder) -> str:
    """The table as CSV, the same however often the study was interrupted.

    For IID and OOD data it has, after the last round, the mean accuracy over devices and that of
    the worst device, and the mean over devices and rounds, which is the area under the curve over
    rounds divided by their number; after mixing, or after training where nothing else was recorded.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    told = [f"{kind}_{what}" for kind in KINDS for what in ("last", "worst", "mean")]
    writer.writerow(["run", *study.axes, "devices", "rounds", *told])
    for run in study.runs:
        path = folder.results(run.name)
        if completed(path):
            writer.writerow([run.name, *run.labels.values(), *_numbers(path)])
    return out.getvalue()


def write(study: Study, folder: Folder) -> Path:
    """Write the table to ``table.csv``; its path."""
    path = folder.path / "table.csv"
    path.write_text(text(study, folder), encoding="utf-8")
    return path


def _numbers(path: Path) -> list[Any]:
    found: list[Any] = []
    with h5py.File(path, "r") as file:
        series = file["series"]
        for kind in KINDS:
            key = next(
                k for k in (f"{kind}_accuracy_mixed", f"{kind}_accuracy_trained") if k in series
            )
            curve = series[key][()]
            if not found:
                found += [curve.shape[1], curve.shape[0]]
            measured = curve[~np.isnan(curve).all(axis=1)]
            if not len(measured):
                found += ["", "", ""]
                continue
            last = measured[-1]
            found += [_short(last.mean()), _short(last.min()), _short(measured.mean())]
    return found


def _short(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"
