"""Decentralized learning on graphs over MPI: one rank per device, weighted gossip, HDF5 results."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

__all__ = [
    "Fault",
    "Gossip",
    "__version__",
    "algorithm",
    "attack",
    "backend",
    "check",
    "dataset",
    "evaluate",
    "graph",
    "load_model",
    "logger",
    "lr_schedule",
    "model",
    "ood",
    "open",
    "open_study",
    "placement",
    "schedule",
    "strategy",
    "task",
    "train",
    "weights",
]

REGISTRIES = {
    "algorithm": "components.algorithms:ALGORITHMS",
    "attack": "components.attacks:ATTACKS",
    "backend": "exchange:BACKENDS",
    "dataset": "components.datasets:DATASETS",
    "graph": "components.graphs:TOPOLOGIES",
    "logger": "components.loggers:LOGGERS",
    "lr_schedule": "components.lr_schedules:LR_SCHEDULES",
    "model": "components.models:MODELS",
    "ood": "components.ood:OODS",
    "placement": "components.placement:PLACEMENTS",
    "schedule": "components.strategies:SCHEDULES",
    "strategy": "components.strategies:STRATEGIES",
    "task": "components.tasks:TASKS",
}
"""By decorator, ``@mpidl.strategy``, the registry whose ``add`` it is."""

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import xarray as xr
    from torch import nn

    from mpidl.config.faults import Fault
    from mpidl.config.registry import Decorator
    from mpidl.preview.facts import Facts
    from mpidl.run.own_loop import Gossip
    from mpidl.run.saved_models import Number
    from mpidl.run.trained_run import TrainedRun
    from mpidl.storage.runs import Study

    __version__: str
    algorithm: Decorator
    attack: Decorator
    backend: Decorator
    dataset: Decorator
    graph: Decorator
    logger: Decorator
    lr_schedule: Decorator
    model: Decorator
    ood: Decorator
    placement: Decorator
    schedule: Decorator
    strategy: Decorator
    task: Decorator
else:

    def __getattr__(name: str) -> Any:
        if name in REGISTRIES:
            from importlib import import_module

            module, _, registry = REGISTRIES[name].partition(":")
            return getattr(import_module(f"mpidl.{module}"), registry).add
        if name == "__version__":
            from mpidl.config import version

            return version.number()
        if name == "Fault":
            from mpidl.config.faults import Fault

            return Fault
        if name == "Gossip":
            from mpidl.run.own_loop import Gossip

            return Gossip
        raise AttributeError(f"module 'mpidl' has no attribute {name!r}")


# Imported when called, as every rank of a run imports this file and none reads results.


def open(path: Path | str) -> "xr.Dataset":
    """Read a results file as labelled arrays; see :func:`mpidl.storage.reader.open`."""
    from mpidl.storage import reader

    return reader.open(path)


def open_study(folder: Path | str) -> "Study":
    """Find the runs of a study; see :func:`mpidl.storage.runs.open_study`."""
    from mpidl.storage import runs

    return runs.open_study(folder)


def train(file: Path | str | None = None, /, **arguments: Any) -> "TrainedRun":
    """Collective. Train models on a graph in this process; see :func:`mpidl.run.train.train`."""
    from mpidl.run import train

    return train.train(file, **arguments)


def check(file: Path | str | None = None, /, **arguments: Any) -> "Facts":
    """Collective. What to expect of a run, without training; see :func:`mpidl.run.train.check`."""
    from mpidl.run import train

    return train.check(file, **arguments)


def load_model(run: Path | str, device: "Number", **arguments: Any) -> "nn.Module":
    """The model of a device, from a checkpoint; see :func:`mpidl.run.saved_models.load_model`."""
    from mpidl.run import saved_models

    return saved_models.load_model(run, device, **arguments)


def evaluate(run: Path | str, dataset: object, **arguments: Any) -> "xr.Dataset":
    """Score saved models on another data set; see :func:`mpidl.run.scoring.evaluate`."""
    from mpidl.run import scoring

    return scoring.evaluate(run, dataset, **arguments)


def weights(run: Path | str, round: int = 0, **arguments: Any) -> "npt.NDArray[np.float64]":
    """The mixing matrix of a round of a run; see :func:`mpidl.run.round_weights.weights`."""
    from mpidl.run import round_weights

    return round_weights.weights(run, round, **arguments)
