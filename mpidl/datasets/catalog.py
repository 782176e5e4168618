"""What a data set is, the registry of all of them, and how a smaller one is cut out."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mpidl import seeds, strata
from mpidl.faults import Fault
from mpidl.registry import Registry

Array = npt.NDArray[Any]

DATASETS = Registry("data set")
"""Builders of data sets: ``builder(folder: Path | None, seed: int, /, **parameters) -> Dataset``.

``folder`` is where the files lie, for those read from files. Splits are fixed, so the present
ones ignore ``seed``.
"""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples and labels with a fixed train/test split.

    Images are float32, channels first, ``(n, channels, height, width)``; sequences are uint8
    tokens, ``(n, positions)``. Labels are int64, ``(n,)``, below C = ``len(classes)``; for
    sequences they name the task a sequence belongs to and are not what a model predicts.

    Attributes:
        name: As the registry has it.
        train_inputs: ``(n, *shape)``.
        train_labels: ``(n,)``.
        test_inputs: ``(n, *shape)``.
        test_labels: ``(n,)``.
        classes: C names.
        task: What a model is to predict.
        vocabulary: Number of tokens, 0 for images.
        padding: Token that loss and accuracy ignore as a target, -1 for none.
        span: Lowest and highest value of an image, (0, 1) for sequences without meaning.
    """

    name: str
    train_inputs: Array
    train_labels: Array
    test_inputs: Array
    test_labels: Array
    classes: tuple[str, ...]
    task: Literal["classification", "next_token"] = "classification"
    vocabulary: int = 0
    padding: int = -1
    span: tuple[float, float] = (0.0, 1.0)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.train_inputs.shape[1:])


def subset(
    dataset: Dataset, train_samples: int | None, test_samples: int | None, seed: int
) -> Dataset:
    """Cut a smaller data set at random, every class keeping its share; None keeps all.

    Raises:
        Fault: If more samples are asked for than there are.
    """
    train_inputs, train_labels = _cut(dataset, "train", train_samples, seed)
    test_inputs, test_labels = _cut(dataset, "test", test_samples, seed)
    return replace(
        dataset,
        train_inputs=train_inputs,
        train_labels=train_labels,
        test_inputs=test_inputs,
        test_labels=test_labels,
    )


def _cut(dataset: Dataset, part: str, count: int | None, seed: int) -> tuple[Array, Array]:
    inputs: Array = getattr(dataset, f"{part}_inputs")
    labels: Array = getattr(dataset, f"{part}_labels")
    if count is None or count == len(labels):
        return inputs, labels
    if not 0 < count <= len(labels):
        raise Fault(
            f"data.{part}_samples = {count}: {dataset.name} has {len(labels)} {part} samples; "
            f"ask for 1 to {len(labels)}."
        )
    kept = strata.choose(labels, count, seeds.stream(seed, f"{part}_samples"))
    return np.ascontiguousarray(inputs[kept]), labels[kept]
