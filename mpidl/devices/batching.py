"""Batching rule: whether training a rank's devices at once (``training.batched``) is faster.

The rule for processors was measured by ``tests/bench/batched.py``; its table is in
``results/large.md``. On accelerators nothing is measured yet: every model counts as faster there,
although its convolutions become grouped ones, which may take longer than one after another.
"""

import numpy as np
from torch import nn

from mpidl.components import torch_optimizers
from mpidl.plan import Plan
from mpidl.ranks import accelerators

FEW = 8
"""Least number of devices of a rank for which it is faster."""

SMALL = 40_000
"""Most parameters for which it is faster, if all are in linear layers."""

LARGE = 100_000
"""Parameters above which it is slower. Between the two it depends on the machine."""


def pays(model: nn.Module, devices: int, kind: str = "cpu") -> bool | None:
    """Whether training a rank's devices at once is faster; None if that is not clear.

    On accelerators ``training.batched = "auto"`` decides by this.

    Args:
        model: The model of a device; its numbers are not read.
        devices: Number of devices of a rank.
        kind: Kind of hardware.
    """
    if kind != "cpu":
        return devices > 1
    size = sum(weights.numel() for weights in model.parameters())
    learning = [part for part in model.modules() if list(part.parameters(recurse=False))]
    convolves = any(isinstance(part, nn.modules.conv._ConvNd) for part in learning)
    if convolves or size > LARGE:
        return False
    linear = all(isinstance(part, nn.Linear) for part in learning)
    return True if linear and size <= SMALL and devices >= FEW else None


def advice(plan: Plan, model: nn.Module, size: int) -> list[str]:
    """Advice on ``training.batched``, a sentence, if another setting is faster.

    Args:
        plan: The plan of the run.
        model: The model of a device; its numbers are not read.
        size: P.
    """
    setting, hosted = plan.file.training.batched, int(np.bincount(plan.hosts).max())
    if torch_optimizers.named(plan.file.training):
        return []
    if hosted < 2 or accelerators.chosen(plan.file.training.accelerator) != "cpu":
        return []
    worth = pays(model, hosted)
    case = f"{hosted} devices a rank of a model of {size:,} parameters"
    if worth and setting != "yes":
        return [
            f"training.batched = 'yes' would shorten rounds here ({case}): a rank then trains its "
            "devices at once, and curves differ by rounding from those of one after another"
        ]
    if worth is False and setting == "yes":
        return [
            f"training.batched = 'yes' makes rounds longer here ({case}): on processors it pays "
            f"for {FEW} devices a rank and more of models without convolutions of up to {SMALL:,} "
            "parameters; 'no' takes less time"
        ]
    return []
