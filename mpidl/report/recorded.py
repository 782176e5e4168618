"""What was recorded of a run: its values by device and round, attackers, stragglers.

Shapes: N devices, R rounds in which something was measured.
"""

from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.components import placement
from mpidl.components.datasets import DATASETS
from mpidl.components.graphs import prediction
from mpidl.config.faults import Fault
from mpidl.report import failures
from mpidl.storage import measured, run_series, schema

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]


def value(run: "xr.Dataset") -> str:
    """What devices are measured by: ``accuracy``, or ``loss`` if a run has no accuracy."""
    return measured.chief(map(str, run))


def scores(run: "xr.Dataset", kind: str) -> "xr.DataArray":
    """Accuracy, or else loss, by round and device on the ``"iid"`` or ``"ood"`` test set.

    See :func:`value` and :func:`of_value`.
    """
    return of_value(run, kind, value(run))


def less(value: str) -> bool:
    """Whether less of a value of devices is better: of losses it is, of accuracies it is not."""
    return value == "loss"


def own_values(run: "xr.Dataset") -> list[str]:
    """Names of the values of a run's task beside loss and accuracy, in order."""
    names = (name for kind in schema.KINDS for name in measured.names(map(str, run), kind))
    return [name for name in dict.fromkeys(names) if name not in ("loss", "accuracy")]


def own_series(run: "xr.Dataset") -> tuple[str, ...]:
    """Names of all series of a run's own, in order."""
    return tuple(run_series.listed(run.attrs.get(schema.OWN_SERIES)))


def free_series(run: "xr.Dataset") -> list[str]:
    """Names of a run's own series that belong to no test set, in order."""
    return [name for name in own_series(run) if name in run and measured.parts(name) is None]


def of_value(run: "xr.Dataset", kind: str, name: str) -> "xr.DataArray":
    """A value by round and device on the ``"iid"`` or ``"ood"`` test set, ``(R, N)``.

    It is measured after mixing, or after training if a run recorded only that. Rounds without a
    finite value are left out, so R is 0 without such a test set; see :func:`diverged`. Attackers
    have NaN, as their models do not count.
    """
    key = next(
        key
        for moment in reversed(schema.MOMENTS)
        if (key := f"{kind}_{name}_{moment}") in run or moment == "trained"
    )
    if key not in run:
        return run["train_loss"].isel(round=slice(0)).rename(key)
    found = run[key][np.isfinite(run[key].to_numpy()).any(axis=1)]
    return found.where(run["attacker"] != 1) if "attacker" in run.coords else found


def diverged(run: "xr.Dataset", curve: "xr.DataArray") -> Array:
    """Whether each device ends a run without a finite value because it diverged, ``(N,)``.

    No attacker does, and no device by the OOD test set of a run without sources.

    Args:
        run: The run.
        curve: Values of its devices; see :func:`of_value`.
    """
    key, counted = str(curve.name), ~attackers(run)
    if key not in run or (key.startswith("ood") and not (run["source"] == 1).any()):
        return np.zeros_like(counted)
    finite = run["finite"].to_numpy() if "finite" in run else np.ones(run[key].shape)
    return lost(run[key].to_numpy(), finite, counted)


def lost(values: Array, finite: Array, counted: Array) -> Array:
    """Whether each device ends without a finite value because it diverged, ``(N,)``.

    That is, where values were infinite, or losses of training not finite: it has no finite value in
    the last measured round, or none has one after such a loss.

    Args:
        values: ``(R, N)``; NaN where a device has none.
        finite: 0 where the loss of training was not finite, ``(R, N)``.
        counted: The devices that are looked at, ``(N,)``.
    """
    broken = np.flatnonzero(((np.isinf(values) | (finite == 0)) & counted).any(axis=1))
    measured = np.flatnonzero((np.isfinite(values) & counted).any(axis=1))
    if not len(broken):
        return np.zeros_like(counted)
    if not len(measured) or broken[-1] > measured[-1]:
        return counted
    ended: Array = counted & ~np.isfinite(values[measured[-1]])
    return ended


def by_class(run: "xr.Dataset") -> Array:
    """Accuracy by class on the IID test set in the rounds of :func:`scores`, ``(R, N, C)``.

    Empty if the models of a run do not answer classes, or if it was not recorded.
    """
    accuracies = of_value(run, "iid", "accuracy")
    key = str(accuracies.name).replace("accuracy", "class_accuracy")
    if key not in run or DATASETS.properties(str(run.attrs["data.name"])).tokens:
        return np.empty((0, run.sizes["device"], 0))
    return run[key].sel(round=accuracies["round"]).where(accuracies.notnull()).to_numpy()


def learned(run: "xr.Dataset", kind: str) -> Array:
    """The values of :func:`scores`, 0 where a model answers one class to all, ``(R, N)``.

    A model that always answers "0" is right about all samples of "0", and knows nothing.
    """
    accuracies, shares = scores(run, kind), by_class(run)
    values = accuracies.to_numpy()
    if not len(shares):
        return values
    same = np.zeros((run.sizes["round"], run.sizes["device"]), bool)
    rounds = run["round"].to_numpy()
    same[np.isin(rounds, scores(run, "iid")["round"])] = failures.constant(shares)
    same = same[np.isin(rounds, accuracies["round"])]
    return np.where(same & np.isfinite(values), 0.0, values)


def simulated(run: "xr.Dataset") -> "xr.DataArray | None":
    """Simulated seconds until the last device has finished each round, ``(R,)``.

    None if the run file describes no network that takes time.
    """
    if "simulated_seconds" not in run or not (run["simulated_seconds"] > 0).any():
        return None
    return run["simulated_seconds"].max("device")


def attackers(run: "xr.Dataset") -> Array:
    """Whether each device is an attacker, ``(N,)``."""
    return run["attacker"].to_numpy() == 1 if "attacker" in run.coords else _nobody(run)


def stragglers(run: "xr.Dataset") -> Array:
    """Whether each device is slow on the clock of the run file's network, ``(N,)``.

    No device if the results file lacks the names by which the run file lists them, or if it has
    too many devices.
    """
    wanted, seed = run.attrs.get("network.stragglers", []), run.attrs.get("training.seed", 0)
    slow, named = _nobody(run), wanted if isinstance(wanted, list) else [wanted]
    few = 0 < len(named) <= len(slow) <= prediction.CLOSE
    # A file may come from anywhere, and contain anything.
    valid = type(seed) is int and seed >= 0
    if few and valid and all(type(one) in (int, str) for one in named):
        graph = nx.empty_graph(len(slow), create_using=nx.DiGraph)
        graph.add_edges_from(run["edges"].to_numpy().tolist())
        try:
            slow[placement.chosen("network.stragglers", named, graph, seed, "stragglers")] = True
        except Fault:
            return slow
    return slow


def _nobody(run: "xr.Dataset") -> Array:
    return np.zeros(run.sizes["device"], bool)
