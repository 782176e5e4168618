"""Algorithms that correct the bias of D-SGD on different data."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from mpidl.components.algorithms.base import ALGORITHMS, Algorithm, Lengths, State


@ALGORITHMS.add(color="#3762cb", marker="^", order=30)
def exact_diffusion(
    lazy: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.5,
) -> Algorithm:
    """Adapt, correct, combine: ``y = x - s(x)``, ``x <- W (y + x - y_before)``.

    W is ``(1 - lazy) W + lazy I``. ``lazy = 0.5`` is exact diffusion, Yuan et al., 2019, arXiv
    1702.05122, algorithm 1; ``lazy = 0`` is D2, Tang et al., 2018, arXiv 1803.07068, for which no
    eigenvalue of W may be below -1/3. Both need a W that is symmetric and doubly stochastic, such
    as W of ``metropolis_hastings``; the first round is D-SGD.
    """

    def setup(state: State) -> None:
        state.kept["adapted"].copy_(state.w)

    def give(state: State) -> None:
        if state.trained and state.start is not None:
            adapted = state.w.clone()
            state.w.add_(state.start).sub_(state.kept["adapted"])
            state.kept["adapted"].copy_(adapted)

    def keeps(lengths: Lengths) -> Mapping[str, int]:
        return {"adapted": lengths.learned}

    return Algorithm(
        setup=setup,
        give=give,
        keeps=keeps,
        starts=True,
        lazy=lazy,
        needs=("on time",),
        doubly=True,
        extrapolates=True,
    )


@ALGORITHMS.add(color="#db268f", marker="v", order=40)
def gradient_tracking() -> Algorithm:
    """Each device follows an estimate y of the mean step of all, sent together with its model.

    ``y <- W y_before + s(x) - s_before``, ``x <- W (x - y)``; the mean of y is that of s in every
    round. Messages are twice as long. A doubly stochastic W leads to the optimum of the sum of
    all losses; with several local steps, to a point where the mean of the steps is 0. Sources: Di
    Lorenzo and Scutari, 2016, arXiv 1602.00591; Nedic, Olshevsky and Shi, 2017, arXiv 1607.03218
    (DIGing); the form above adapts, then combines.
    """

    def give(state: State) -> None:
        if not state.trained or state.start is None:
            return
        step, tracked = state.start - state.w, state.tail
        tracked.add_(step).sub_(state.kept["step"])
        state.kept["step"].copy_(step)
        state.w.copy_(state.start).sub_(tracked)

    def keeps(lengths: Lengths) -> Mapping[str, int]:
        return {"step": lengths.learned}

    def travels(lengths: Lengths) -> int:
        return lengths.size + lengths.learned

    return Algorithm(
        give=give,
        keeps=keeps,
        starts=True,
        travels=travels,
        needs=("on time",),
        doubly=True,
    )
