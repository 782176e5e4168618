"""The inbox: what a strategy that looks at parameters is given beside the neighborhood."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpidl.components.graphs import Neighborhood

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Inbox:
    """The vectors that a device is about to mix; they are only to be read.

    Attributes:
        vectors: Of each member its trained parameters, ``(P,)``, in the order of ``view.members``:
            the device's own first. They lie in the memory of the exchange.
        parameters: Cuts a vector into the model's parameters, each in its shape. Batch-norm
            statistics, which lie behind them in a vector, are left out.
    """

    vectors: Sequence["Tensor"]
    parameters: Callable[["Tensor"], Iterable["Tensor"]]


Look = Callable[[Neighborhood], Inbox]
"""Opens the inbox of the device whose neighborhood it is given."""
