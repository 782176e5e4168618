"""Inbox of a device: the parameters that a strategy may read, beside the neighborhood."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpidl.components.graphs import Neighborhood

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Inbox:
    """The vectors that a device is about to mix; a strategy must not change them.

    Attributes:
        vectors: Each member's trained parameters, ``(P,)``, in the order of ``view.members``, so
            the device's own come first. They are in the memory of the exchange.
        parameters: Splits a vector into the model's parameters, each in its shape, without the
            batch-norm statistics that follow them in a vector.
    """

    vectors: Sequence["Tensor"]
    parameters: Callable[["Tensor"], Iterable["Tensor"]]


Look = Callable[[Neighborhood], Inbox]
"""Returns the inbox of the device of a neighborhood."""
