"""Asynchronous gossip: models are mixed in every round, whoever is still training."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated

from pydantic import Field

from mpidl import seeds
from mpidl.algorithms.base import ALGORITHMS, Algorithm, Lengths, State


@ALGORITHMS.add
def asynchronous(slowest: Annotated[int, Field(ge=1, le=1000)] = 4) -> Algorithm:
    """AD-PSGD: ``x <- W x`` in every round, and ``x <- x - s(x_then)`` where a training ends.

    Training takes device i as many rounds as it drew at the begin, from 1 to ``slowest``: what it
    subtracts in the end was computed on the model that it had at their begin, while its model was
    mixed on. The number of mixings in between with others is recorded as ``staleness``. Pairs that
    average, as published, are a topology: ``random_matching``. A device that trains all the time
    and waits for none is so emulated with results that do not depend on the machine. Source: Lian
    et al., 2018, arXiv 1710.06952, algorithm 1.
    """

    @cache
    def period(seed: int, device: int) -> int:
        return int(seeds.stream(seed, "pace", device).integers(1, slowest + 1))

    def trains(seed: int, device: int, round_: int) -> bool:
        return round_ % period(seed, device) == 0

    def give(state: State) -> None:
        if state.trained and state.start is not None:
            state.kept["pending"].copy_(state.start - state.w)
            state.kept["mixings"].zero_()
            state.w.copy_(state.start)

    def take(state: State) -> None:
        state.kept["mixings"].add_(float(state.heard > 0))
        if trains(state.seed, state.number, state.round + 1):
            state.w.sub_(state.kept["pending"])
            state.kept["pending"].zero_()
            state.told["staleness"] = float(state.kept["mixings"])

    def keeps(lengths: Lengths) -> Mapping[str, int]:
        return {"pending": lengths.learned, "mixings": 1}

    return Algorithm(
        give=give, take=take, keeps=keeps, starts=True, trains=trains, tells=("staleness",)
    )
