"""Arrays of any type as the data set that they mean: float32 inputs, labels from 0 on, a split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mpidl.components.datasets import strata
from mpidl.components.datasets.dataset import Dataset
from mpidl.components.datasets.labels import Labels, Part, coded, numbered, targets
from mpidl.config import seeds
from mpidl.config.faults import Fault, shown

Array = npt.NDArray[Any]
Scaling = Literal["none", "standard", "unit"]

CHANNELS = (1, 3, 4)
"""Numbers of channels by which an array of images shows that channels come last."""


@dataclass(frozen=True)
class Split:
    """A split of samples for training and for testing, which no seed of a run changes.

    Attributes:
        share: The share for testing.
        seed: The seed of the draw, in which every class keeps its share.
    """

    share: float = 0.2
    seed: int = 0


def assemble(
    name: str,
    train: Part,
    test: Part | Split,
    *,
    labels: Labels = "classes",
    classes: Sequence[str] | None = None,
    categories: bool = False,
    scaling: Scaling = "none",
    shape: Sequence[int] | None = None,
) -> Dataset:
    """Make a data set of samples as they were found.

    uint8 inputs are images: they become 0 to 1, and channels come first. Other numbers become
    float32 as they are; of images whose channels come last, these come first.

    Args:
        name: The name of the data set.
        train: The samples for training, or all of them.
        test: The samples for testing, or how some are split off.
        labels: Whether labels are classes, or numbers that a model predicts.
        classes: The names of classes, if labels are their numbers.
        categories: Whether labels that are numbers are names of classes, in ascending order;
            otherwise they are the numbers of classes, from 0 on.
        scaling: ``standard`` gives every input mean 0 and deviation 1, ``unit`` brings all inputs
            to 0 to 1, both by the samples for training.
        shape: The shape of one sample, if it is another than that of the array.

    Raises:
        Fault: If lengths, types or values are not those of a data set.
    """
    parts = [train] if isinstance(test, Split) else [train, test]
    for part in parts:
        _check_lengths(part, labels)
    names: tuple[str, ...] = ()
    if labels == "numbers":
        codes = [targets(part) for part in parts]
    else:
        codes, names = coded(parts, classes, categories)
    raw = [part.inputs for part in parts]
    owners = None if train.owners is None else numbered(train.owners)
    if isinstance(test, Split):
        told = [train.inputs_told] * 2
        taken = _taken(codes[0], test, train.labels_told)
        raw = [raw[0][~taken], raw[0][taken]]
        codes = [codes[0][~taken], codes[0][taken]]
        owners = None if owners is None else owners[~taken]
    else:
        told = [train.inputs_told, test.inputs_told]
    inputs = [_inputs(array, shape, words) for array, words in zip(raw, told, strict=True)]
    if inputs[0].shape[1:] != inputs[1].shape[1:]:
        one, other = (array.shape[1:] for array in inputs)
        raise Fault(f"{told[1]}: samples have the shape {other}, and those of {told[0]} {one}.")
    inputs = _scaled(inputs, scaling)
    return Dataset(
        name=name,
        train_inputs=inputs[0],
        train_labels=codes[0],
        test_inputs=inputs[1],
        test_labels=codes[1],
        classes=names,
        task="regression" if labels == "numbers" else "classification",
        owners=owners,
        span=_span(inputs),
    )


def _check_lengths(part: Part, labels: Labels) -> None:
    count = len(part.inputs) if part.inputs.ndim else 0
    if not count:
        raise Fault(f"{part.inputs_told}: has no samples.")
    several = labels == "numbers" and part.labels.ndim == 2 and len(part.labels) == count
    if not several and part.labels.shape not in ((count,), (count, 1)):
        raise Fault(
            f"{part.labels_told}: has the shape {part.labels.shape}; the {count} samples of "
            f"{part.inputs_told} need one label each, ({count},)."
        )
    if part.owners is not None and part.owners.shape not in ((count,), (count, 1)):
        raise Fault(
            f"{part.inputs_told}: {count} samples need one device each, and the devices given have "
            f"the shape {part.owners.shape}."
        )


def _inputs(array: Array, shape: Sequence[int] | None, told: str) -> Array:
    """Inputs as float32; images with their channels first."""
    if array.dtype.kind not in "biuf":
        raise Fault(f"{told}: has the type {array.dtype}; must be numbers.")
    if shape is not None:
        if np.prod(shape) != np.prod(array.shape[1:]):
            raise Fault(
                f"data.shape = {shown(list(shape))}: a sample of {told} has "
                f"{np.prod(array.shape[1:])} values, and this shape {np.prod(shape)}."
            )
        array = array.reshape(len(array), *shape)
    elif array.ndim == 1 or (array.ndim == 3 and array.dtype == np.uint8):
        array = array[:, None]
    if array.ndim == 4 and array.shape[3] in CHANNELS and array.shape[1] not in CHANNELS:
        array = array.transpose(0, 3, 1, 2)
    if array.dtype == np.uint8:
        return np.divide(array, np.float32(255), dtype=np.float32, order="C")
    with np.errstate(over="ignore"):
        plain = np.ascontiguousarray(array, np.float32)
    if not (np.isfinite(plain.min()) and np.isfinite(plain.max())):
        wrong = ~np.isfinite(plain.reshape(len(plain), -1)).all(axis=1)
        first = plain[wrong][0]
        raise Fault(
            f"{told}: sample {wrong.argmax() + 1:,} has the value {first[~np.isfinite(first)][0]}; "
            "must be finite numbers of float32."
        )
    return plain


def _scaled(inputs: list[Array], scaling: Scaling) -> list[Array]:
    if scaling == "none":
        return inputs
    middle: Array = inputs[0].mean(axis=0, dtype=np.float64)
    width: Array = inputs[0].std(axis=0, dtype=np.float64)
    if scaling == "unit":
        middle = inputs[0].min().astype(np.float64)
        width = inputs[0].max() - middle
    width = np.where(width > 0, width, 1.0)
    return [((array - middle) / width).astype(np.float32) for array in inputs]


def _span(inputs: list[Array]) -> tuple[float, float]:
    """The range of an image's values: 0 to 1 if all are within, else from the least to the most."""
    low, high = min(map(np.min, inputs)), max(map(np.max, inputs))
    return (0.0, 1.0) if low >= 0 and high <= 1 else (float(low), float(high))


def _taken(labels: Array, split: Split, told: str) -> Array:
    """Whether each sample is for testing, ``(n,)``."""
    count = max(1, round(split.share * len(labels)))
    if count >= len(labels):
        raise Fault(f"{told}: too few samples ({len(labels)}) to split some off for testing.")
    taken = np.zeros(len(labels), dtype=bool)
    taken[strata.choose(labels, count, seeds.stream(split.seed, "test split"))] = True
    return taken
