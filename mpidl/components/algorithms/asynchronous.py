"""Asynchronous gossip: all models are mixed in every round, also those still in training."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated

from pydantic import Field

from mpidl.components.algorithms.base import ALGORITHMS, Algorithm, Lengths, State
from mpidl.config import seeds

IDLE = -1.0
"""Number of mixings that stands for no training under way."""


@ALGORITHMS.add(color="#c93f5b", marker="<", order=80)
def asynchronous(slowest: Annotated[int, Field(ge=1, le=1000)] = 4) -> Algorithm:
    """AD-PSGD: ``x <- W x`` in every round, and ``x <- x - s(x_then)`` when a training ends.

    A training of device i takes a number of rounds, drawn once from 1 to ``slowest``. The step that
    it subtracts at the end was computed on its model at the start of the training; meanwhile its
    model was mixed. The number of mixings with others in between is recorded as ``staleness``.
    Pairs that average, as published, are a topology: ``random_matching``. A device that is absent
    when its training ends subtracts when it is back, or before it begins the next training. So a
    device that always trains and never waits is emulated, with results that do not depend on the
    machine. Source: Lian et al., 2018, arXiv 1710.06952, algorithm 1.
    """

    @cache
    def period(seed: int, device: int) -> int:
        return int(seeds.stream(seed, "pace", device).integers(1, slowest + 1))

    def trains(seed: int, device: int, round_: int) -> bool:
        return round_ % period(seed, device) == 0

    def setup(state: State) -> None:
        state.kept["mixings"].fill_(IDLE)

    def end(state: State) -> None:
        state.w.sub_(state.kept["pending"])
        state.series["staleness"] = float(state.kept["mixings"])
        state.kept["mixings"].fill_(IDLE)

    def give(state: State) -> None:
        if state.trained and state.start is not None:
            step = state.start - state.w
            state.w.copy_(state.start)
            if state.kept["mixings"] != IDLE:
                end(state)
            state.kept["pending"].copy_(step)
            state.kept["mixings"].zero_()
            state.kept["rounds"].fill_(period(state.seed, state.number))

    def take(state: State) -> None:
        if state.kept["mixings"] == IDLE:
            return
        state.kept["mixings"].add_(float(state.heard > 0))
        state.kept["rounds"].sub_(1)
        if state.present and state.kept["rounds"] <= 0:
            end(state)

    def keeps(lengths: Lengths) -> Mapping[str, int]:
        return {"pending": lengths.learned, "mixings": 1, "rounds": 1}

    return Algorithm(
        setup=setup,
        give=give,
        take=take,
        keeps=keeps,
        starts=True,
        trains=trains,
        series=("staleness",),
    )
