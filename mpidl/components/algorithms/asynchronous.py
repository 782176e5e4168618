"""Asynchronous gossip: models are mixed in every round, whoever is still training."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated

from pydantic import Field

from mpidl.components.algorithms.base import ALGORITHMS, Algorithm, Lengths, State
from mpidl.config import seeds

IDLE = -1.0
"""Mixings where no training is under way."""


@ALGORITHMS.add(color="#c93f5b", marker="<", order=80)
def asynchronous(slowest: Annotated[int, Field(ge=1, le=1000)] = 4) -> Algorithm:
    """AD-PSGD: ``x <- W x`` in every round, and ``x <- x - s(x_then)`` where a training ends.

    Training takes device i as many rounds as it drew at the begin, from 1 to ``slowest``: what it
    subtracts in the end was computed on the model that it had at their begin, while its model was
    mixed on. The number of mixings in between with others is recorded as ``staleness``. Pairs that
    average, as published, are a topology: ``random_matching``. A device that is away when its
    training ends subtracts when it is back, or before it begins the next one. One that trains all
    the time and waits for none is so emulated with results that do not depend on the machine.
    Source: Lian et al., 2018, arXiv 1710.06952, algorithm 1.
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
        state.told["staleness"] = float(state.kept["mixings"])
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
        tells=("staleness",),
    )
