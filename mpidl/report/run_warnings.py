"""Warnings about a run, which a reader must know before trusting its numbers."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mpidl.components.datasets import DATASETS
from mpidl.components.strategies import STRATEGIES
from mpidl.report import failures, labels, recorded

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]

LEARNED = 1.25
"""Factor above chance that the best IID accuracy of a device has if the device has learned."""


def of(run: "xr.Dataset") -> list[str]:
    """Warnings about a run, a sentence each: unfinished, disconnected, no numbers, not learned."""
    sentences = []
    done, rounds = run.attrs["rounds_done"], run.attrs["training.rounds"]
    if not run.attrs["completed"]:
        sentences.append(f"The run is unfinished: {done} of {rounds} rounds.")
    sentences += _apart(run)
    broken = _broken(run)
    if broken is not None:
        sentences.append(broken)
    chance = _chance(run)
    last = recorded.scores(run, "iid").to_numpy()
    if len(last) and chance is not None:
        best = np.where(np.isfinite(last), last, -np.inf).max(axis=0)
        never = np.flatnonzero((best <= LEARNED * chance) & np.isfinite(best))
        if len(never):
            sentences.append(
                f"{_listed(run, never)} never learned: IID accuracy stays at chance ({chance:.3g}) "
                "in every round."
            )
    return sentences + _failed(run)


def _failed(run: "xr.Dataset") -> list[str]:
    """Warnings about models that answer one class only, and about training that diverges."""
    by_class, losses = recorded.by_class(run), run["train_loss"].to_numpy()
    if not len(by_class) or not len(losses):
        return []
    losses = np.where(recorded.attackers(run), np.nan, losses[-1])
    return failures.sentences(by_class[-1], losses, lambda devices: _listed(run, devices))


def _apart(run: "xr.Dataset") -> list[str]:
    """Warnings about a disconnected graph, unless the strategy mixes over the complete graph."""
    if STRATEGIES.properties(str(run.attrs["strategy.name"])).complete:
        return []
    devices, edges = run.sizes["device"], run["edges"].to_numpy()
    links = coo_array((np.ones(len(edges)), tuple(edges.T)), shape=(devices, devices))
    parts, _ = connected_components(links, directed=False)
    away = np.flatnonzero(run["hops"].to_numpy() < 0)
    sentences = []
    if parts > 1:
        sentences.append(f"The graph is disconnected: it has {parts} parts that never mix.")
    if run["source"].any() and len(away):
        sentences.append(
            f"No path leads to {_listed(run, away)}: the source's knowledge never arrives there."
        )
    return sentences


def _chance(run: "xr.Dataset") -> float | None:
    """Accuracy of a constant answer; None if answers are not classes."""
    if (
        recorded.value(run) != "accuracy"
        or "labels" not in run
        or DATASETS.properties(str(run.attrs["data.name"])).tokens
    ):
        return None
    return 1 / run.sizes["class"]


def _broken(run: "xr.Dataset") -> str | None:
    """A warning with the first round in which a recorded loss was not finite; None without one."""
    for key in ("train_loss", *(str(key) for key in run if "_loss_" in str(key))):
        if key in run and run.sizes["round"]:
            values = run[key].to_numpy()
            bad = ~np.isfinite(values) & np.isfinite(values).any(axis=1, keepdims=True)
            if key == "train_loss":
                # Devices that are not active in a round have no loss in it.
                finite = run["finite"].to_numpy() if "finite" in run else np.zeros_like(values)
                bad = ~np.isfinite(values) & (finite != 1)
            if bad.any():
                round_ = int(np.flatnonzero(bad.any(axis=1))[0])
                return (
                    f"{key} of {_listed(run, np.flatnonzero(bad[round_]))} is not finite "
                    f"from round {round_ + 1} on."
                )
    return None


def _listed(run: "xr.Dataset", devices: Array) -> str:
    shown = ", ".join(labels.device(run, device) for device in devices[:8].tolist())
    more = f" and {len(devices) - 8} more" if len(devices) > 8 else ""
    return f"device {shown}" if len(devices) == 1 else f"devices {shown}{more}"
