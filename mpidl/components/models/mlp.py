"""The multilayer perceptron of the paper."""

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mpidl.components.models.shape import MODELS, Shape, Width

if TYPE_CHECKING:
    from torch import nn

PAPER = [3136, 784, 196]
"""Hidden widths of arXiv 2505.11760."""


@MODELS.add
def mlp(
    shape: Shape,
    /,
    hidden: Annotated[
        list[Width],
        Field(max_length=1000, description="must be a list of widths from 1 to 1,000,000"),
    ] = PAPER,
) -> "nn.Module":
    """Multilayer perceptron with ReLU; hidden widths as in the paper.

    5,076,998 parameters on MNIST (784-3136-784-196-10), 2,819,078 on digits.
    """
    inputs = shape.numbers("mlp")
    from torch import nn

    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise([inputs, *hidden]):
        layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear([inputs, *hidden][-1], shape.outputs))
