"""Models that have learned nothing although all of their numbers are finite.

Shapes: N devices, C classes.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

GUESSED = 3.0
"""Times the loss of guessing above which a loss is that of a training that diverges."""

LISTED = 8
"""Devices that a sentence names."""


def constant(by_class: Array) -> Array:
    """Whose model answers one class whatever it is asked, ``(..., N)``.

    That is, all samples of one class are answered right, and none of any other.

    Args:
        by_class: Accuracy by class, ``(..., N, C)``; NaN of classes that nobody asked for, of
            which no more than C - 2 may be.
    """
    asked = np.isfinite(by_class)
    right = np.where(asked, by_class, 0)
    found: Array = (asked.sum(-1) > 1) & ((right == 1).sum(-1) == 1) & (right.sum(-1) == 1)
    return found


def diverged(losses: Array, classes: int) -> Array:
    """Whose finite loss of training is far above that of guessing, ``ln C``, ``(N,)``."""
    if classes < 2:
        return np.zeros(len(losses), bool)
    return np.isfinite(losses) & (losses > GUESSED * math.log(classes))


def named(devices: Array) -> str:
    """Some devices in words, the first of them by number."""
    shown = ", ".join(map(str, devices[:LISTED]))
    more = f" and {len(devices) - LISTED} more" if len(devices) > LISTED else ""
    return f"device {shown}" if len(devices) == 1 else f"devices {shown}{more}"


def told(by_class: Array, losses: Array, called: Callable[[Array], str] = named) -> list[str]:
    """What must be known of a run whose models give classes, a sentence each; empty if all is well.

    Args:
        by_class: Accuracy by class on the IID test set, after the last round, ``(N, C)``.
        losses: Of training, in the last round, ``(N,)``; NaN where a device did not train.
        called: Says which devices.
    """
    found, classes = [], by_class.shape[-1]
    same = np.flatnonzero(constant(by_class))
    if len(same):
        many = len(same) > 1
        found.append(
            f"{_begin(called(same))} answer{'' if many else 's'} one class whatever "
            f"{'they are' if many else 'it is'} asked: accuracies, OOD too, are those of a "
            "constant, and no knowledge."
        )
    lost = np.flatnonzero(diverged(losses, classes))
    if len(lost):
        guessing, worst = math.log(classes), float(np.max(losses[lost]))
        found.append(
            f"Training diverges on {called(lost)}, though losses are finite: up to {worst:.3g} in "
            f"the last round, where guessing has {guessing:.3g}; a smaller training.lr may help."
        )
    return found


def _begin(text: str) -> str:
    return text[:1].upper() + text[1:]
