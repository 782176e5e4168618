"""Figures of one run and of many, made from results files alone."""

from collections.abc import Callable, Iterator

import xarray as xr

from mpidl.report import style
from mpidl.report.collection import Collection
from mpidl.report.figures import arrival, costs, learning, mixing, relations, spreading, strategies
from mpidl.report.figures.picture import Picture, save, svg
from mpidl.report.summary import THRESHOLD

__all__ = ["Picture", "of_run", "of_runs", "save", "svg"]

RUN: tuple[Callable[..., Picture | None], ...] = (
    learning.scores,
    learning.simulated,
    spreading.graph,
    spreading.heat,
    spreading.hops,
    arrival.passage,
    learning.moments,
    learning.values,
    learning.consensus,
    mixing.matrix,
    mixing.labels,
    costs.seconds,
    costs.sent,
)

RUNS: tuple[Callable[[Collection], Picture | None], ...] = (
    strategies.ood_curves,
    strategies.iid_curves,
    strategies.ood_simulated,
    strategies.iid_simulated,
    strategies.values,
    strategies.levels,
    strategies.differences,
    strategies.thresholds,
    relations.predictors,
    relations.distances,
)


def of_run(run: xr.Dataset, threshold: float = THRESHOLD) -> Iterator[Picture]:
    """The figures of one run that have something to show, one at a time.

    Args:
        run: The run.
        threshold: OOD accuracy until which rounds are counted.
    """
    for draw in RUN:
        with style.context():
            picture = draw(run, threshold) if draw is arrival.passage else draw(run)
        if picture is not None:
            yield picture


def of_runs(collection: Collection) -> Iterator[Picture]:
    """The figures of many runs that have something to show, one at a time."""
    for draw in RUNS:
        with style.context():
            picture = draw(collection)
        if picture is not None:
            yield picture
