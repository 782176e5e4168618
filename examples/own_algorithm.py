"""An algorithm of one's own: SlowMo of Wang et al., 2020, arXiv 1910.00643."""

from typing import Annotated

from pydantic import Field

import mpidl
from mpidl.components.algorithms import Algorithm

Factor = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0)]


@mpidl.algorithm
def slow_momentum(beta: Factor = 0.5, alpha: Rate = 1.0):
    """Momentum of what training and mixing together change in a round.

    ``u <- beta u + (x - z)``, ``x <- x - alpha u``: x is the model before the round, z the mixed
    one. Without momentum, ``beta = 0``, it is D-SGD.
    """

    def take(state):
        if state.start is not None:
            slow = state.kept["slow"]
            slow.mul_(beta).add_(state.start - state.w)
            state.w.copy_(state.start - alpha * slow)

    return Algorithm(take=take, keeps=lambda lengths: {"slow": lengths.learned}, starts=True)
