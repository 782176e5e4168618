"""Flat vector of a module: its parameters and floating buffers as views of one vector."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from mpidl.config.faults import Fault

VECTORS = 4
"""Most vectors whose views are kept; an exchange has two or three."""


class FlatTensors:
    """Tensors as views of one vector ``(P,)``, after :meth:`adopt`.

    Args:
        kind: The noun for what has these tensors, in messages.
        parameters: The tensors that are learned, by name.
        buffers: Others that travel with them, by name.

    Attributes:
        names: Names of the views, parameters first.
        vector: The memory, ``(P,)``.
        size: P.
        learned: T, the number of parameters' values.
        device: The hardware of these numbers.
        dtype: Their type.

    Raises:
        Fault: If there are no parameters, if numbers have several types or places, or if two
            tensors share memory without being one, as they would be separated.
    """

    vector: Tensor

    def __init__(
        self, kind: str, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
    ) -> None:
        slots = {**parameters, **buffers}
        if not parameters:
            raise Fault(f"{kind} has no parameters: must have some.")
        _alike(kind, "numbers of", {name: str(slot.dtype) for name, slot in slots.items()})
        # A model without memory may have some of its numbers; only its size is used.
        places = {name: str(slot.device) for name, slot in slots.items() if not slot.is_meta}
        _alike(kind, "numbers on", places)
        _distinct(kind, slots)
        self._slots, self._count = list(slots.values()), len(parameters)
        self.names, self._shapes = list(slots), [slot.shape for slot in self._slots]
        self._bound: dict[int, list[Tensor]] = {}
        # Empty tensors have no address.
        self._filled = [slot for slot in self._slots if slot.numel()]
        sizes = [slot.numel() * slot.itemsize for slot in self._filled]
        self._offsets = [0, *accumulate(sizes)][:-1]
        self._places: dict[int, list[int]] = {}
        self._lengths = [slot.numel() for slot in self._filled]
        self.device, self.dtype = self._slots[0].device, self._slots[0].dtype
        if not self.dtype.is_floating_point:
            raise Fault(f"{kind} has numbers of {self.dtype}: must be floating.")
        self.size = sum(slot.numel() for slot in self._slots)
        self.learned = sum(slot.numel() for slot in parameters.values())

    def adopt(self, vector: Tensor) -> None:
        """Move the present numbers into a vector ``(P,)``, which becomes the module's memory."""
        with torch.no_grad():
            torch.cat([slot.detach().reshape(-1) for slot in self._slots], out=vector)
        self.bind(vector)

    def bind(self, vector: Tensor) -> None:
        """Make a vector ``(P,)`` the memory of the module, with the numbers that it has."""
        self.vector = vector
        place = vector.data_ptr()
        if place not in self._bound:
            # An exchange gives the same few vectors in turn, whose views are made once.
            if len(self._bound) == VECTORS:
                self._bound.clear()
                self._places.clear()
            self._bound[place] = _views(vector, self._shapes)
            self._places[place] = [place + at for at in self._offsets]
        for slot, view in zip(self._slots, self._bound[place], strict=True):
            slot.data = view

    def astray(self, vector: Tensor) -> str:
        """The name of a tensor that is not a view of a vector ``(P,)`` any more; empty if all are.

        A tensor in another place of the memory than :meth:`bind` gave it, or with another number of
        values, counts as well.
        """
        # Every round asks, so all that can be made before is.
        places = [*map(Tensor.data_ptr, self._filled)]
        lengths = [*map(Tensor.numel, self._filled)]
        if places == self._places.get(vector.data_ptr()) and lengths == self._lengths:
            return ""
        views = zip(self.names, self._slots, self._bound[vector.data_ptr()], strict=True)
        return next(name for name, slot, view in views if _place(slot) != _place(view))

    def fill(self, vector: Tensor) -> None:
        """Copy numbers ``(P,)`` into the module, which keeps the memory that it has."""
        with torch.no_grad():
            for slot, view in zip(self._slots, _views(vector, self._shapes), strict=True):
                slot.copy_(view)

    def parameters(self, numbers: Tensor) -> list[Tensor]:
        """Views of the parameters in numbers ``(..., T or P)``: each ``(..., *shape)``."""
        if numbers.shape[-1] != self.learned:
            numbers = numbers[..., : self.learned]
        return _views(numbers, self._shapes[: self._count])

    def buffers(self, numbers: Tensor) -> list[Tensor]:
        """Views of the floating buffers in numbers ``(..., P - T)``: each ``(..., *shape)``."""
        return _views(numbers, self._shapes[self._count :])


class Flat(FlatTensors):
    """The memory of any torch module as one vector ``(P,)``, after :meth:`adopt`.

    Parameters come first, frozen ones too, then floating buffers such as batch-norm statistics,
    each in the module's order and once, however many names it has. Everything else, such as
    counters, stays where it is. A module that is moved or converted afterwards leaves the vector.

    Args:
        module: The module, on one accelerator, with numbers of one type.

    Raises:
        Fault: As :class:`FlatTensors`.
    """

    def __init__(self, module: nn.Module) -> None:
        parameters = dict(module.named_parameters())
        super().__init__(type(module).__name__, parameters, floating_buffers(module))


def floating_buffers(module: nn.Module) -> dict[str, Tensor]:
    """The floating buffers of a module by name, each once."""
    return {name: b for name, b in module.named_buffers() if b.is_floating_point()}


def _place(tensor: Tensor) -> tuple[int, torch.Size]:
    return tensor.data_ptr(), tensor.shape


def _views(numbers: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    if not shapes:
        return []
    parts = torch.split(numbers, [shape.numel() for shape in shapes], dim=-1)
    own = numbers.shape[:-1]
    return [part.view((*own, *shape)) for part, shape in zip(parts, shapes, strict=True)]


def _alike(kind: str, property: str, values: dict[str, str]) -> None:
    """Refuse values that differ between names; the message has the first name of each value."""
    first: dict[str, str] = {}
    for name, value in values.items():
        first.setdefault(value, name)
    if len(first) > 1:
        kinds = " and ".join(f"{value} ({name})" for value, name in first.items())
        raise Fault(f"{kind} has {property} {kinds}: must be the same, as they are in one vector.")


def _distinct(kind: str, slots: dict[str, Tensor]) -> None:
    """Refuse two tensors that begin at the same address."""
    names: dict[int, str] = {}
    for name, slot in slots.items():
        if slot.numel() and not slot.is_meta:
            other = names.setdefault(slot.data_ptr(), name)
            if other != name:
                raise Fault(
                    f"{kind}: {other} and {name} share memory, but are not one: must be one "
                    "parameter under both names, or have separate memory."
                )


def as_rows(vectors: Sequence[Tensor]) -> Tensor:
    """Vectors ``(P,)`` as the rows of one matrix: their own memory if possible, else a copy."""
    first, places = vectors[0], [vector.data_ptr() for vector in vectors]
    gaps = {after - before for before, after in pairwise(places)}
    memories = {vector.untyped_storage().data_ptr() for vector in vectors}
    gap = min(gaps, default=0) // first.itemsize
    if len(memories) == len(gaps) == 1 and gap >= len(first):
        return first.as_strided((len(vectors), len(first)), (gap, 1))
    return torch.stack(list(vectors))
