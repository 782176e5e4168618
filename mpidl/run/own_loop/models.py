"""Models of a caller in his own memory: modules, parameters, tensors and arrays that gossip mixes.

Shapes: P numbers of a model travel; the first T of them are learned.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from mpidl.config.faults import Fault
from mpidl.devices.flat import FlatTensors

SMALL = 2048
"""Bytes of a tensor that are faster copied to the exchange and back than given new views."""


class OwnModel(ABC):
    """A model of the caller's as gossip takes it, a :class:`mpidl.devices.gossip.Learner`.

    Args:
        flat: The tensors that travel.

    Attributes:
        flat: The tensors that travel.
        vector: Their numbers in the exchange, ``(P,)``, after :meth:`adopt`.
        size: P.
        learned: T.
    """

    vector: Tensor

    def __init__(self, flat: FlatTensors) -> None:
        self.flat, self.size, self.learned = flat, flat.size, flat.learned
        self._sent: Tensor | None = None

    def adopt(self, vector: Tensor) -> None:
        """Move the present numbers into a vector ``(P,)`` and live there."""
        self.flat.adopt(vector)
        self.vector = vector

    def bind(self, vector: Tensor) -> None:
        """Make a vector ``(P,)`` the numbers of the model, unless it is away."""
        self.vector = vector
        if self._sent is None:
            self.show()

    def parameters(self, vector: Tensor) -> Iterable[Tensor]:
        """The parameters in the vector ``(P,)`` of any such model, each in its shape."""
        return self.flat.parameters(vector)

    def leave(self) -> None:
        """Let the caller go on with a copy, while the exchange has the vector."""
        self._sent = self.vector.clone()

    def come_back(self) -> None:
        """Add to the vector what the caller changed since :meth:`leave`, and live there again."""
        assert self._sent is not None
        self.vector.add_(self.present() - self._sent)
        self._sent = None
        self.show()

    @abstractmethod
    def show(self) -> None:
        """Give the caller's model the numbers of the vector."""

    @abstractmethod
    def fetch(self) -> None:
        """Give the vector the numbers of the caller's model.

        Raises:
            Fault: If the caller has replaced tensors by others.
        """

    @abstractmethod
    def present(self) -> Tensor:
        """The numbers of the caller's model, ``(P,)``, while it is away."""

    @abstractmethod
    def release(self) -> None:
        """Give the caller's model memory of its own for good."""


class Viewed(OwnModel):
    """A model whose parameters are views of one vector: that of the exchange, or a copy of it.

    Where the vector is that of the exchange nothing is copied, but every round makes it another
    one, and all parameters get new views. Many small tensors are faster kept where they are.

    Args:
        flat: The tensors that travel.
        unchanged: Raises a fault if the module has other parameters by now.
    """

    def __init__(self, flat: FlatTensors, unchanged: Callable[[], None]) -> None:
        super().__init__(flat)
        self._unchanged = unchanged
        self._stays = flat.size * flat.dtype.itemsize <= SMALL * len(flat.names)
        self._live = torch.empty(0)

    def show(self) -> None:
        """Give the parameters the numbers of the vector, or make it their memory."""
        if self._stays:
            self._live.copy_(self.vector)
        else:
            self._live = self.vector
            self.flat.bind(self._live)

    def adopt(self, vector: Tensor) -> None:
        """Move the present numbers into a vector ``(P,)``, and live there or beside it."""
        self._live = torch.empty_like(vector) if self._stays else vector
        super().adopt(self._live)
        self.vector = vector.copy_(self._live) if self._stays else vector

    def fetch(self) -> None:
        """Check that the parameters are where they were; small ones are copied to the vector."""
        self._check()
        if self._stays:
            self.vector.copy_(self._live)

    def _check(self) -> None:
        self._unchanged()
        if lost := self.flat.astray(self._live):
            raise Fault(
                f"{lost} is in other memory than after the last mix(), or of another size: a model "
                "must not be moved, converted or given new tensors; change values in place, or "
                "make a new Gossip."
            )

    def leave(self) -> None:
        """Let the parameters live in a copy, while the exchange has the vector."""
        super().leave()
        if not self._stays:
            self._live = self.vector.clone()
            self.flat.bind(self._live)

    def present(self) -> Tensor:
        """The numbers of the parameters, ``(P,)``, while they are away."""
        self._check()
        return self._live

    def release(self) -> None:
        """Give the parameters memory of their own for good."""
        self.flat.bind(self._live.clone())


class Copied(OwnModel):
    """Tensors or arrays that are copied to and from the vector, as others may look at their memory.

    Args:
        tensors: The caller's memory, by name.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._own = list(tensors.values())
        kind = "The model" if len(self._own) > 1 else "The array"
        super().__init__(FlatTensors(kind, {k: t.detach() for k, t in tensors.items()}, {}))

    def show(self) -> None:
        """Copy the vector to the caller's tensors."""
        for own, part in zip(self._own, self.flat.parameters(self.vector), strict=True):
            own.copy_(part)

    def fetch(self) -> None:
        """Copy the caller's tensors to the vector."""
        for own, part in zip(self._own, self.flat.parameters(self.vector), strict=True):
            part.copy_(own)

    def present(self) -> Tensor:
        """The numbers of the caller's tensors, ``(P,)``."""
        return torch.cat([own.reshape(-1) for own in self._own])

    def release(self) -> None:
        """Do nothing, as the caller's tensors have memory of their own."""
