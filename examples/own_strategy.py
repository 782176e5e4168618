"""A strategy of one's own: devices keep to themselves at first, and listen more every round."""

from typing import Annotated

import numpy as np
from pydantic import Field

import mpidl

Rounds = Annotated[int, Field(ge=1)]


@mpidl.strategy
def warming(view, /, rounds: Rounds = 5):
    """Equal weights after some rounds; before them, more weight for the device itself."""
    count = len(view.members)
    listens = min(view.round / rounds, 1.0)
    weights = np.full(count, listens / count)
    weights[0] += 1 - listens
    return weights
