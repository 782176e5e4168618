"""Labels of samples as numbers of classes, and the owners of samples as numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mpidl.config.faults import Fault

Array = npt.NDArray[Any]
Labels = Literal["classes", "numbers"]

CLASSES = 65_536
"""Most classes; more are the mark of labels that are no classes."""


@dataclass(frozen=True)
class Part:
    """Samples as they were found, for training or for testing.

    Attributes:
        inputs: ``(n, *shape)`` of any numbers.
        labels: ``(n,)`` or ``(n, 1)``, whole numbers or texts.
        owners: Whom each sample belongs to, ``(n,)`` whole numbers or texts; None if nobody says.
        inputs_told: The inputs in words, for messages.
        labels_told: The labels in words.
    """

    inputs: Array
    labels: Array
    owners: Array | None = None
    inputs_told: str = "x"
    labels_told: str = "y"


def targets(part: Part) -> Array:
    """Labels that are numbers to predict, ``(n,)`` or ``(n, outputs)`` float32.

    Raises:
        Fault: If they are not finite numbers.
    """
    if part.labels.dtype.kind not in "biuf":
        raise Fault(f"{part.labels_told}: has the type {part.labels.dtype}; must be numbers.")
    with np.errstate(over="ignore"):
        values = part.labels.astype(np.float32)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    wrong = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if wrong.any():
        raise Fault(
            f"{part.labels_told}: has a number in sample {wrong.argmax() + 1:,} that is not a "
            "finite one of float32."
        )
    return values


def coded(
    parts: list[Part], classes: Sequence[str] | None, categories: bool
) -> tuple[list[Array], tuple[str, ...]]:
    """Labels of each part as numbers of classes, ``(n,)`` int64, and the names of the classes.

    Args:
        parts: The samples for training, and for testing if these are apart.
        classes: The names of the classes, if labels are their numbers.
        categories: Whether labels that are numbers are names of classes.

    Raises:
        Fault: If labels are no whole numbers or texts, or no numbers of classes.
    """
    labels = [_whole(part.labels.reshape(-1), part.labels_told) for part in parts]
    texts = [values.dtype.kind == "U" for values in labels]
    if any(texts):
        if not all(texts):
            raise Fault(f"{parts[1].labels_told}: must be texts if the others are, or numbers.")
        categories = True
    if categories:
        known, codes = np.unique(np.concatenate(labels), return_inverse=True)
        _check_number(len(known), parts[0].labels_told)
        ends = np.cumsum([len(values) for values in labels])[:-1]
        return np.split(codes.astype(np.int64), ends), tuple(map(str, known.tolist()))
    for values, part in zip(labels, parts, strict=True):
        if values.min() < 0:
            told = part.labels_told
            raise Fault(f"{told}: has the label {values.min()}; labels are numbers from 0 on.")
    most = max(int(values.max()) for values in labels)
    count = most + 1 if classes is None else len(classes)
    if most >= count:
        told = parts[[int(values.max()) for values in labels].index(most)].labels_told
        raise Fault(f"{told}: labels go to {most}, classes are {count}, from 0 to {count - 1}.")
    _check_number(count, parts[0].labels_told)
    return labels, tuple(map(str, range(count) if classes is None else classes))


def _check_number(count: int, told: str) -> None:
    if count > CLASSES:
        raise Fault(f"{told}: has labels for {count:,} classes; must be at most {CLASSES:,}.")


def _whole(values: Array, told: str) -> Array:
    """Labels or owners as int64, or as texts."""
    texts = values.dtype.kind in "UT" or all(isinstance(value, str) for value in values.flat)
    if texts:
        return values.astype(np.str_)
    if values.dtype.kind not in "biuf":
        raise Fault(f"{told}: has the type {values.dtype}; must be whole numbers or texts.")
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64)
    if (whole != values).any():
        wrong = int((whole != values).argmax())
        raise Fault(
            f"{told}: has the value {values[wrong]} in sample {wrong + 1:,}; must be whole numbers "
            "or texts, but for labels that are numbers to predict (data.labels = 'numbers')."
        )
    return whole


def numbered(owners: Array) -> Array:
    """Owners as numbers, ``(n,)`` int64: as they are, or the places of their texts by order.

    Raises:
        Fault: If they are neither texts nor whole numbers from 0 on.
    """
    whole = _whole(owners.reshape(-1), "the devices of samples")
    if whole.dtype.kind == "U":
        return np.unique(whole, return_inverse=True)[1].astype(np.int64)
    if whole.min() < 0:
        raise Fault(f"the devices of samples: have the number {whole.min()}; must be from 0 on.")
    return whole
