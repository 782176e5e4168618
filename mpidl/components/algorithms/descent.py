"""Decentralized stochastic gradient descent in several orders, and with global momentum."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from mpidl.components.algorithms.base import ALGORITHMS, Algorithm, Lengths, State

Order = Literal["adapt_then_combine", "combine_then_adapt", "consensus"]


@ALGORITHMS.add(color="#667082", marker="o", order=10)
def dsgd(order: Order = "adapt_then_combine") -> Algorithm:
    """Local steps and mixing in turn: ``x <- W (x - s(x))``, where training subtracts s.

    ``order`` decides which comes first. ``adapt_then_combine`` is the formula above;
    ``combine_then_adapt`` is ``y = W x``, ``x <- y - s(y)``, so a round ends with training;
    ``consensus`` is ``x <- W x - s(x)``, whose gradients need not wait for the mixing. Sources:
    Lian et al., 2017, arXiv 1705.09056 (consensus); Sayed, 2014, *Adaptation, Learning, and
    Optimization over Networks*, equations 7.18 and 7.19 (diffusion).
    """
    if order == "combine_then_adapt":
        return Algorithm(order=("exchange", "train"))
    return _consensus if order == "consensus" else Algorithm()


def _part(state: State) -> None:
    """Keep the step of training for later, and send the model from before it."""
    if state.trained and state.start is not None:
        state.left = state.start - state.w
        state.w.copy_(state.start)


def _subtract(state: State) -> None:
    if state.trained and state.left is not None:
        state.w.sub_(state.left)


_consensus = Algorithm(give=_part, take=_subtract, starts=True)


@ALGORITHMS.add(color="#af4e04", marker="s", order=20)
def quasi_global_momentum(
    beta: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.9,
    mu: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.9,
) -> Algorithm:
    """Momentum of the mixed model's changes, not of the device's own gradients.

    ``y = x - s(x) - beta m``, ``z = W y``, ``m <- mu m + (1 - mu) (x - z)``, ``x <- z``: with one
    local step of rate eta and m divided by eta, algorithm 1 of Lin et al., 2021, arXiv 2102.04761.
    There is no Nesterov form. Use ``training.momentum = 0``.
    """

    def give(state: State) -> None:
        if state.trained:
            state.w.sub_(state.kept["momentum"], alpha=beta)

    def take(state: State) -> None:
        if state.trained and state.start is not None:
            state.kept["momentum"].mul_(mu).add_(state.start - state.w, alpha=1 - mu)

    def keeps(lengths: Lengths) -> Mapping[str, int]:
        return {"momentum": lengths.learned}

    return Algorithm(give=give, take=take, keeps=keeps, starts=True)
