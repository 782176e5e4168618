"""Summary of one run: its numbers and its mean curves."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mpidl.components import graphs
from mpidl.report import lateness, measures, recorded, run_numbers, run_warnings
from mpidl.storage import reader, schema

HEAVY = ("run_file", "path", schema.CODE)
"""Attributes of a results file that a summary has elsewhere, or leaves in the file."""

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]

THRESHOLD = 0.5
"""Mean OOD accuracy until which rounds are counted, by default."""

READ = (
    *(f"{kind}_accuracy_{moment}" for kind in schema.KINDS for moment in schema.MOMENTS),
    *(f"{kind}_loss_{moment}" for kind in schema.KINDS for moment in schema.MOMENTS),
    *("train_loss", "finite", "consensus_distance", "bytes_sent", "simulated_seconds"),
    *(key for key in schema.SERIES if key.startswith("seconds_")),
    *(f"iid_class_accuracy_{moment}" for moment in schema.MOMENTS),
    *("edges", "probability", "W", "stationary", "eigenvalue", "labels"),
)
"""The variables of a results file that a summary needs."""


@dataclass(frozen=True)
class Curve:
    """Accuracy of all devices after each measured round, or loss, or a value of a task.

    Attributes:
        rounds: Numbers of the rounds, from 1, ``(R,)``.
        seconds: Seconds until the end of these rounds, on the clock of the run file's network,
            ``(R,)``; NaN without a network that takes time.
        mean: Mean over devices, ``(R,)``; ``low`` and ``high`` are the least and the greatest.
    """

    rounds: Array
    seconds: Array
    mean: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Summary:
    """One run, without its arrays of rounds by devices.

    Attributes:
        path: The results file.
        settings: Settings of the resolved run file, as ``"section.key"``, and its name.
        made: Provenance: versions, machine, start.
        devices: N.
        rounds: Number of rounds asked for.
        done: Number of complete rounds in the file.
        completed: Whether the run is completed.
        numbers: Measures by name, NaN where there is none; see :func:`of`.
        by_device: Values of each device by name, ``(N,)``.
        curves: The curves ``"iid"`` and ``"ood"``, and of each value of the task beside loss and
            accuracy, such as ``"iid_mae"``.
        edges: Links of the graph as sorted pairs (source, destination), each direction alone.
        graph: Digest of the graph, see :func:`mpidl.components.graphs.digest`; made from the links
            if the file has none.
        warnings: Warnings for the reader, a sentence each.
        late: Sentences about the device that learned last; see :mod:`mpidl.report.lateness`.
        value: What devices are measured by, ``"accuracy"`` or ``"loss"``.
        own: Names of the values of the task beside loss and accuracy.
        own_series: Names of all series of the run's own.
    """

    path: Path
    settings: Mapping[str, Any]
    made: Mapping[str, Any]
    devices: int
    rounds: int
    done: int
    completed: bool
    numbers: Mapping[str, float]
    by_device: Mapping[str, Array]
    curves: Mapping[str, Curve]
    edges: tuple[tuple[int, int], ...] = field(repr=False)
    graph: str
    warnings: tuple[str, ...]
    late: str = ""
    value: str = "accuracy"
    own: tuple[str, ...] = ()
    own_series: tuple[str, ...] = ()


def read(path: Path, threshold: float = THRESHOLD) -> Summary:
    """Read a results file and keep what tables and figures of many runs need.

    Raises:
        Fault: As :func:`mpidl.storage.reader.open`.
    """
    return of(reader.open(path, READ), threshold)


def of(run: "xr.Dataset", threshold: float = THRESHOLD) -> Summary:
    """The summary of an opened run.

    ``numbers`` has for ``iid`` and ``ood``: ``_area`` (mean over devices of the area under the
    accuracy curve over rounds), ``_epochs_area`` (over local epochs, where rounds are measured in
    them), ``_level`` (area over the rounds it spans: an accuracy), ``_last`` and ``_worst`` (mean
    and least over devices after the last round). ``difference`` is in percent, of the OOD to the
    IID level: that of the areas, but known of a single round too. Then ``rounds_to_threshold``, and
    ``simulated_to_threshold`` in seconds of the network that the run file describes, of the OOD
    accuracy, and the same of the IID one with ``iid_`` before it; ``links``, ``modularity``,
    ``gap``, ``source_degree``, ``source_links`` and ``source_stationary`` (means over sources, the
    sum for the last), ``source_passage`` (decimal logarithm of the mean predicted rounds until
    others know); ``passage_spearman`` and ``hops_spearman`` (how well prediction and distance rank
    the others by the round in which they reach the threshold); ``consensus_last``, ``seconds``,
    ``bytes``. A model that answers one class to all reaches no threshold
    (:func:`mpidl.report.recorded.learned`).

    If a run has no accuracy, all these are of its loss: ``_worst`` is the greatest, and no
    threshold is reached. Area, level and last value of a device that diverged
    (:func:`mpidl.report.recorded.diverged`) are infinite then, and so are their means. Each further
    value of its task has ``_last``, such as ``iid_mae_last``; NaN if a device diverged.
    """
    value, own = recorded.value(run), tuple(recorded.own_values(run))
    # A loss falls, so that no threshold is reached, not even by one that is infinite.
    threshold = threshold if value == "accuracy" else math.nan
    ends, curves = recorded.simulated(run), dict[str, Curve]()
    by_device: dict[str, Array] = {}
    numbers: dict[str, float] = {}
    for kind in schema.KINDS:
        curve = recorded.scores(run, kind)
        values, rounds = curve.to_numpy(), curve["round"].to_numpy()
        measured = measures.by_device(values, rounds)
        if recorded.less(value):
            lost = recorded.diverged(run, curve)
            measured = {key: np.where(lost, np.inf, own) for key, own in measured.items()}
        by_device |= {f"{kind}_{key}": per_device for key, per_device in measured.items()}
        learned = recorded.learned(run, kind)
        if kind == "ood":
            reached = [measures.reached(own, rounds, threshold) for own in learned.T]
            by_device["rounds_to_threshold"] = np.array(reached, float)
        numbers |= {key: measures.mean(by_device[key]) for key in by_device if key.startswith(kind)}
        numbers[f"{kind}_worst"] = measures.worst(by_device[f"{kind}_last"], value)
        numbers[f"{kind}_epochs_area"] = numbers[f"{kind}_area"] * _epochs(run)
        curves[kind] = _curve(values, rounds, ends)
        known_curve = _curve(learned, rounds, ends)
        numbers |= _reached(known_curve, threshold, "" if kind == "ood" else f"{kind}_")
    for name in own:
        for kind in schema.KINDS:
            curve = recorded.of_value(run, kind, name)
            values, rounds = curve.to_numpy(), curve["round"].to_numpy()
            last = measures.by_device(values, rounds)["last"]
            known = not recorded.diverged(run, curve).any()
            numbers[f"{kind}_{name}_last"] = measures.mean(last) if known else math.nan
            curves[f"{kind}_{name}"] = _curve(values, rounds, ends)
    numbers["difference"] = measures.difference(numbers["ood_level"], numbers["iid_level"])
    edges = tuple(map(tuple, run["edges"].to_numpy().tolist()))
    by_device |= run_numbers.devices(run, edges)
    numbers |= run_numbers.graph(run, edges, by_device)
    numbers |= run_numbers.passage(by_device) | run_numbers.costs(run)
    measured = {key: value for key, value in run.attrs.items() if "." not in key}
    return Summary(
        path=Path(run.attrs["path"]),
        settings=reader.flat(Path(run.attrs["path"]), run.attrs["run_file"]),
        made={key: measured[key] for key in measured if key not in HEAVY},
        devices=run.sizes["device"],
        rounds=int(run.attrs["training.rounds"]),
        done=int(run.attrs["rounds_done"]),
        completed=bool(run.attrs["completed"]),
        numbers=numbers,
        by_device=by_device,
        curves=curves,
        edges=edges,
        graph=str(measured.get(schema.GRAPH_DIGEST) or _digest(run)),
        warnings=tuple(run_warnings.of(run)),
        late=lateness.sentence(run, by_device, threshold),
        value=value,
        own=own,
        own_series=recorded.own_series(run),
    )


def _digest(run: "xr.Dataset") -> str:
    chances = run["probability"].to_numpy() if "probability" in run else 1.0
    chance = float(run.attrs.get("topology.link_probability", 1.0))
    return graphs.digest_of(run.sizes["device"], run["edges"].to_numpy(), chances, chance)


def _reached(curve: Curve, threshold: float, prefix: str) -> dict[str, float]:
    """Rounds and simulated seconds until a mean curve is at the threshold; NaN if it never is."""
    rounds = measures.reached(curve.mean, curve.rounds - 1, threshold)
    seconds = curve.seconds[curve.rounds == rounds]
    return {
        f"{prefix}rounds_to_threshold": rounds,
        f"{prefix}simulated_to_threshold": float(seconds[0]) if len(seconds) else float("nan"),
    }


def _epochs(run: "xr.Dataset") -> float:
    steps = "training.steps" in run.attrs
    return float("nan") if steps else float(run.attrs["training.epochs"])


def _curve(values: Array, rounds: Array, ends: "xr.DataArray | None") -> Curve:
    if not len(rounds):
        return Curve(rounds, *[np.empty(0)] * 4)
    seconds = np.full(len(rounds), np.nan) if ends is None else ends.sel(round=rounds).to_numpy()
    low, high = np.nanmin(values, axis=1), np.nanmax(values, axis=1)
    return Curve(rounds + 1, seconds, np.nanmean(values, axis=1), low, high)
