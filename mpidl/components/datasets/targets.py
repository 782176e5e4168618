"""Targets of regression: numbers that a model predicts."""

from typing import Any

import numpy as np


def faults(part: str, labels: Any, count: int) -> list[str]:
    """The mistakes in targets, each the rest of a sentence.

    Args:
        part: ``"train"`` or ``"test"``.
        labels: What should be float32, ``(n,)`` or ``(n, outputs)``, and finite.
        count: n.
    """
    if not isinstance(labels, np.ndarray) or labels.dtype != np.float32:
        dtype = labels.dtype if isinstance(labels, np.ndarray) else type(labels).__name__
        return [f"{part}_labels are {dtype}; for regression they must be an array of float32."]
    if labels.ndim not in (1, 2) or len(labels) != count or not labels.size:
        return [
            f"{part}_labels have the shape {labels.shape}: {count} samples need ({count},) or "
            f"({count}, outputs)."
        ]
    if not np.isfinite(labels).all():
        wrong = labels[~np.isfinite(labels)][0]
        return [f"{part}_labels have the number {wrong}; they must be finite."]
    return []
