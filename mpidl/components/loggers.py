"""Loggers by name: where the series of a run are shown while it goes on.

Rank 0 hands each finished round to them. Their packages are imported where a run file names them.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any, Protocol

from mpidl.config.faults import Fault, shown
from mpidl.config.registry import Properties, Registry

PROJECT = "mpidl"
"""Project or experiment of a run, unless the logger's own environment variable names another."""


class Logger(Protocol):
    """Interface of a logger."""

    def log(self, round_: int, values: Mapping[str, float]) -> None:
        """Show the values of a finished round; rounds count from 1."""

    def close(self, completed: bool) -> None:
        """Send what is left, and say whether the run is completed."""


@dataclass(frozen=True)
class Logged:
    """A run for a logger.

    Attributes:
        path: Its results file.
        name: Its name.
        settings: The settings of its run file, by ``section.key``.
        first: The rounds that are done before it begins or goes on.
    """

    path: Path
    name: str
    settings: Mapping[str, Any]
    first: int


class LoggerProperties(Properties):
    """Properties of a logger.

    Attributes:
        module: The module that it needs, if it is no part of mpidl's requirements.
        package: The package with that module, as pip calls it.
    """

    module: str = ""
    package: str = ""


def _checked(name: str, logger: Any, *_: object) -> Logger:
    """What a builder gave.

    Raises:
        Fault: If it is no logger.
    """
    if not all(callable(getattr(logger, key, None)) for key in ("log", "close")):
        raise Fault(
            f"record.log: {name!r} gives {shown(logger)}: must give an object with the methods "
            "log(round, values) and close(completed)."
        )
    found: Logger = logger
    return found


LOGGERS = Registry("logger", LoggerProperties, gives=1, check=_checked)
"""``builder(run, /) -> Logger``, for a :class:`Logged` run; it has no settings."""


@LOGGERS.add(module="tensorboard", package="tensorboard")
def tensorboard(run: Logged, /) -> Logger:
    """TensorBoard: a folder ``NAME.tensorboard`` beside the results file."""
    return _TensorBoard(run)


@LOGGERS.add(module="mlflow", package="mlflow")
def mlflow(run: Logged, /) -> Logger:
    """MLflow, at MLFLOW_TRACKING_URI, in the experiment MLFLOW_EXPERIMENT_NAME or ``mpidl``."""
    return _MLflow(run)


@LOGGERS.add(module="wandb", package="wandb")
def wandb(run: Logged, /) -> Logger:
    """Weights & Biases, in the project WANDB_PROJECT or ``mpidl``; WANDB_MODE may be offline."""
    return _Wandb(run)


class _TensorBoard:
    def __init__(self, run: Logged) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = run.path.with_suffix(".tensorboard")
        # Rounds that an earlier start went beyond the checkpoint are replaced.
        self._writer: Any = SummaryWriter(str(folder), purge_step=run.first + 1)
        lines = (f"    {key} = {value!r}" for key, value in run.settings.items())
        self._writer.add_text("run file", "\n".join(lines))

    def log(self, round_: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self._writer.add_scalar(key, value, round_)
        self._writer.flush()

    def close(self, completed: bool) -> None:
        self._writer.close()


class _MLflow:
    MOST = 100
    """Parameters that a server takes at a time."""

    LONGEST = 500
    """Characters of a parameter that every server takes."""

    def __init__(self, run: Logged) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name)
        self._run = self._client.create_run(number, run_name=run.name).info.run_id
        parameters = [Param(k, str(v)[: self.LONGEST]) for k, v in run.settings.items()]
        for start in range(0, len(parameters), self.MOST):
            self._client.log_batch(self._run, params=parameters[start : start + self.MOST])

    def log(self, round_: int, values: Mapping[str, float]) -> None:
        import time

        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(key, value, now, round_) for key, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def close(self, completed: bool) -> None:
        self._client.set_terminated(self._run, "FINISHED" if completed else "KILLED")


class _Wandb:
    def __init__(self, run: Logged) -> None:
        import wandb

        project = os.environ.get("WANDB_PROJECT", PROJECT)
        folder, settings = str(run.path.parent), dict(run.settings)
        self._run = wandb.init(project=project, name=run.name, dir=folder, config=settings)

    def log(self, round_: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=round_)

    def close(self, completed: bool) -> None:
        self._run.finish(exit_code=0 if completed else 1)


def check_names(names: Sequence[str]) -> None:
    """Check that loggers are known, need no settings, and each is named once.

    Raises:
        Fault: If they are not.
    """
    subject = f"record.log = {shown(list(names))}"
    for name in names:
        if name not in LOGGERS:
            raise Fault(f"{subject}: {name!r} is no logger; {LOGGERS.remedy(name)}")
        fields = LOGGERS.settings(name).model_fields
        if needed := [key for key, field in fields.items() if field.is_required()]:
            raise Fault(
                f"{subject}: {name!r} needs a setting, {needed[0]!r}, and loggers have none"
                f"{LOGGERS.needs(name)}."
            )
    if len({*names}) < len(names):
        raise Fault(f"{subject}: must name each logger once.")


def check_packages(names: Sequence[str]) -> None:
    """Check on the rank that logs that the packages of loggers are installed.

    Raises:
        Fault: With a sentence for each that is not.
    """
    needed = [LOGGERS.properties(name) for name in names]
    faults = [
        f"record.log = {shown(list(names))}: {name!r} needs a package that is not installed: "
        f"pip install {needs.package}"
        for name, needs in zip(names, needed, strict=True)
        if needs.module and util.find_spec(needs.module) is None
    ]
    if faults:
        raise Fault(*faults)
