"""Failures to learn: models that know nothing although all of their numbers are finite.

Shapes: N devices, C classes.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

GUESSED = 3.0
"""Factor above the loss of guessing from which training counts as diverging."""

LISTED = 8
"""Most devices that a message names."""


def constant(by_class: Array) -> Array:
    """Whether the model of each device answers one class to all samples, ``(..., N)``.

    That is, all samples of one class are answered right, and none of any other.

    Args:
        by_class: Accuracy by class, ``(..., N, C)``; NaN for classes without samples, which may
            be at most C - 2.
    """
    present = np.isfinite(by_class)
    right = np.where(present, by_class, 0)
    same: Array = (present.sum(-1) > 1) & ((right == 1).sum(-1) == 1) & (right.sum(-1) == 1)
    return same


def diverged(losses: Array, classes: int) -> Array:
    """Whether each device's training loss is finite but far above guessing, ``ln C``; ``(N,)``."""
    if classes < 2:
        return np.zeros(len(losses), bool)
    return np.isfinite(losses) & (losses > GUESSED * math.log(classes))


def named(devices: Array) -> str:
    """Devices in words, the first few by number."""
    shown = ", ".join(map(str, devices[:LISTED]))
    more = f" and {len(devices) - LISTED} more" if len(devices) > LISTED else ""
    return f"device {shown}" if len(devices) == 1 else f"devices {shown}{more}"


def sentences(by_class: Array, losses: Array, called: Callable[[Array], str] = named) -> list[str]:
    """Warnings about a run whose models answer classes, a sentence each; empty if it learns.

    Args:
        by_class: Accuracy by class on the IID test set, after the last round, ``(N, C)``.
        losses: Training losses in the last round, ``(N,)``; NaN if a device did not train.
        called: Names devices in words.
    """
    warnings, classes = [], by_class.shape[-1]
    same = np.flatnonzero(constant(by_class))
    if len(same):
        many = len(same) > 1
        warnings.append(
            f"{_begin(called(same))} answer{'' if many else 's'} one class whatever "
            f"{'they are' if many else 'it is'} asked: accuracies, OOD too, are those of a "
            "constant answer, not of knowledge."
        )
    lost = np.flatnonzero(diverged(losses, classes))
    if len(lost):
        guessing, worst = math.log(classes), float(np.max(losses[lost]))
        warnings.append(
            f"Training diverges on {called(lost)}, though losses are finite: up to {worst:.3g} in "
            f"the last round, where guessing has {guessing:.3g}; a smaller training.lr may help."
        )
    return warnings


def _begin(text: str) -> str:
    return text[:1].upper() + text[1:]
