"""Saved state of a device's model: the numbers that a round leaves to the next one."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mpidl.devices.flat import Flat


def counters(model: nn.Module) -> list[Tensor]:
    """Integer buffers that a model saves, as they may change; they are not in its vector."""
    saved = model.state_dict(keep_vars=True)
    found = {name: b for name, b in model.named_buffers() if name in saved}
    return [b for b in found.values() if not b.is_floating_point()]


def count(model: nn.Module, numbers: Tensor) -> None:
    """Set the integer buffers of a model to the numbers of all of them, one after another."""
    own = counters(model)
    for counter, part in zip(own, torch.split(numbers, [c.numel() for c in own]), strict=True):
        counter.copy_(part.view(counter.shape))


def fill(model: nn.Module, memory: Mapping[str, Tensor]) -> None:
    """Set all numbers of a model, in its own memory, to those of a device's state.

    Args:
        model: A model as the device has it.
        memory: ``vector``, ``(P,)``, and ``counters`` if the model has integer buffers.
    """
    Flat(model).fill(memory["vector"])
    if "counters" in memory:
        count(model, memory["counters"])
