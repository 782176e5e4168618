"""The rule by which devices side by side (``training.batched``) pay.

The rule for processors was measured by ``tests/bench/batched.py``, whose table is in
``results/large.md``. Off the CPU nothing is measured yet: there every model is taken to gain,
although its convolutions become grouped ones, which may take longer than one after another.
"""

import numpy as np
from torch import nn

from mpidl.plan import Plan
from mpidl.ranks import accelerators

FEW = 8
"""Devices a rank from which on they pay."""

SMALL = 40_000
"""Parameters up to which they pay, where all of these are in linear layers."""

LARGE = 100_000
"""Parameters from which on they cost. Between the two it depends on the machine."""


def pays(model: nn.Module, devices: int, kind: str = "cpu") -> bool | None:
    """Whether so many devices of a rank take less time side by side; None where it is not clear.

    By this ``training.batched = "auto"`` decides off the CPU.

    Args:
        model: Of one of them; its numbers are not read.
        devices: How many a rank hosts.
        kind: Of the hardware.
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
    """What to do about ``training.batched``, a sentence, where another one takes less time.

    Args:
        plan: What the run file says.
        model: Of one device; its numbers are not read.
        size: P.
    """
    wanted, hosted = plan.file.training.batched, int(np.bincount(plan.hosts).max())
    if hosted < 2 or accelerators.chosen(plan.file.training.accelerator) != "cpu":
        return []
    worth = pays(model, hosted)
    told = f"{hosted} devices a rank of a model of {size:,} parameters"
    if worth and wanted != "yes":
        return [
            f"training.batched = 'yes' would shorten rounds here ({told}): a rank then trains its "
            "devices at once, and curves differ by rounding from those of one after another"
        ]
    if worth is False and wanted == "yes":
        return [
            f"training.batched = 'yes' makes rounds longer here ({told}): on processors it pays "
            f"for {FEW} devices a rank and more of models without convolutions of up to {SMALL:,} "
            "parameters; 'no' takes less time"
        ]
    return []
