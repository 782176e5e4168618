"""Data sets: their form, the mistakes in what should have it, and random subsets."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mpidl.components.datasets import strata
from mpidl.components.tasks import TARGETS, Targets
from mpidl.config import seeds
from mpidl.config.faults import Fault, shown

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples and labels with a fixed train/test split.

    Images are float32, channels first, ``(n, channels, height, width)``; sequences are uint8
    tokens, ``(n, positions)``. Labels are int64, ``(n,)``, below C = ``len(classes)``; for
    sequences they name the task a sequence belongs to and are not what a model predicts. For
    regression they are the numbers that a model predicts, float32, ``(n,)`` or ``(n, outputs)``.

    Attributes:
        name: Its name in the registry.
        train_inputs: ``(n, *shape)``.
        train_labels: ``(n,)``.
        test_inputs: ``(n, *shape)``.
        test_labels: ``(n,)``.
        classes: C names; none for regression.
        task: The task of a model.
        vocabulary: Number of tokens, 0 for images.
        padding: Token that loss and accuracy ignore as a target, -1 for none.
        span: Lowest and highest value of an image, (0, 1) for sequences without meaning.
        owners: Whom each training sample belongs to, numbers from 0 on, ``(n,)`` int64, such as its
            device; None if the data do not say.
    """

    name: str
    train_inputs: Array
    train_labels: Array
    test_inputs: Array
    test_labels: Array
    classes: tuple[str, ...]
    task: Literal["classification", "next_token", "regression"] = "classification"
    vocabulary: int = 0
    padding: int = -1
    span: tuple[float, float] = (0.0, 1.0)
    owners: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.train_inputs.shape[1:])

    @property
    def targets(self) -> Targets:
        """What a model predicts: classes, tokens, or numbers."""
        return TARGETS[self.task]

    @property
    def outputs(self) -> int:
        """Outputs of a model: for each class, for each token, or for each number of a target."""
        if self.targets == "numbers":
            return int(np.prod(self.train_labels.shape[1:], dtype=int))
        return self.vocabulary or len(self.classes)


def faults(built: Any) -> list[str]:
    """The mistakes in the result of a builder, each the rest of a sentence."""
    if not isinstance(built, Dataset):
        several = isinstance(built, tuple | list) and len(built) <= 4
        parts = built if several else [built]
        had = ", ".join("None" if one is None else type(one).__name__ for one in parts)
        return [
            "must give a Dataset, four arrays (x, y, x_test, y_test), two torch Datasets (for "
            f"training and testing), or one and the share for testing, not {had}."
        ]
    classes, found = built.classes, list[str]()
    if built.task not in TARGETS:
        return [f"task is {shown(built.task)}; must be one of {', '.join(map(repr, TARGETS))}."]
    numbers = built.targets == "numbers"
    if numbers and len(classes):
        return [f"a data set whose task is {built.task!r} has no classes, not {shown(classes)}."]
    if not numbers and not (classes and all(isinstance(name, str) for name in classes)):
        return [f"classes must be names, which are text, and at least one, not {shown(classes)}."]
    if built.targets == "tokens" and built.vocabulary < 1:
        found.append(f"a data set whose task is {built.task!r} needs a vocabulary of at least 1.")
    for part in ("train", "test"):
        inputs, labels = getattr(built, f"{part}_inputs"), getattr(built, f"{part}_labels")
        found += _samples(built, part, inputs) or (
            _targets(part, labels, len(inputs))
            if numbers
            else _labels(part, labels, len(inputs), len(classes))
        )
    if not found and built.test_inputs.shape[1:] != built.shape:
        test_shape = built.test_inputs.shape[1:]
        found.append(
            f"test samples have the shape {test_shape}, and those for training {built.shape}."
        )
    if not found and numbers and built.test_labels.shape[1:] != built.train_labels.shape[1:]:
        found.append("test_labels and train_labels must have as many numbers for a sample.")
    return found or _owners(built.owners, len(built.train_inputs))


def _other(thing: Any, dtype: str) -> str:
    """What a thing is that should be an array of a type: its type; empty if it is such an array."""
    if not isinstance(thing, np.ndarray):
        return type(thing).__name__
    return "" if thing.dtype == dtype else str(thing.dtype)


def _samples(dataset: Dataset, part: str, inputs: Any) -> list[str]:
    needed, noun = ("uint8", "tokens") if dataset.vocabulary else ("float32", "images")
    if other := _other(inputs, needed):
        return [f"{part}_inputs are {other}; {noun} must be a NumPy array of {needed}."]
    if inputs.ndim < 2 or not len(inputs):
        return [f"{part}_inputs have the shape {inputs.shape}: must be at least one sample."]
    if dataset.vocabulary and inputs.max() >= dataset.vocabulary:
        tokens = f"tokens are 0 to {dataset.vocabulary - 1}"
        return [f"{part}_inputs have the token {inputs.max()}; {tokens}, by vocabulary."]
    if not inputs.size:
        return [f"{part}_inputs have the shape {inputs.shape}: a sample has no values."]
    # A value that is not a number is both the least and the most.
    for limit in (inputs.min(), inputs.max()):
        if not np.isfinite(limit):
            return [f"{part}_inputs have the value {limit}; values must be finite."]
    return []


def _labels(part: str, labels: Any, count: int, classes: int) -> list[str]:
    if other := _other(labels, "int64"):
        return [f"{part}_labels are {other}; they must be a NumPy array of int64."]
    if labels.shape != (count,):
        return [f"{part}_labels have the shape {labels.shape}: {count} samples need ({count},)."]
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        return [f"{part}_labels have the label {wrong[0]}; labels are 0 to {classes - 1}."]
    return []


def _targets(part: str, labels: Any, count: int) -> list[str]:
    """The mistakes in targets, each the rest of a sentence.

    Args:
        part: ``"train"`` or ``"test"``.
        labels: What should be float32, ``(n,)`` or ``(n, outputs)``, and finite.
        count: n.
    """
    if other := _other(labels, "float32"):
        return [f"{part}_labels are {other}; for regression they must be an array of float32."]
    if labels.ndim not in (1, 2) or len(labels) != count or not labels.size:
        return [
            f"{part}_labels have the shape {labels.shape}: {count} samples need ({count},) or "
            f"({count}, outputs)."
        ]
    if not np.isfinite(labels).all():
        wrong = labels[~np.isfinite(labels)][0]
        return [f"{part}_labels have the number {wrong}; they must be finite."]
    return []


def _owners(owners: Any, count: int) -> list[str]:
    if owners is None:
        return []
    if other := _other(owners, "int64"):
        return [f"owners are {other}; they must be a NumPy array of int64."]
    if owners.shape != (count,):
        return [f"owners have the shape {owners.shape}: {count} training samples need ({count},)."]
    if owners.min() < 0:
        return [f"owners have the number {owners.min()}; must be from 0 on."]
    return []


def subset(
    dataset: Dataset, train_samples: int | None, test_samples: int | None, seed: int
) -> Dataset:
    """A random subset of a data set, in which every class keeps its share; None keeps all.

    Raises:
        Fault: If more samples are asked for than there are.
    """
    train, test = (
        _kept(dataset, part, count, seed)
        for part, count in (("train", train_samples), ("test", test_samples))
    )
    return replace(
        dataset,
        train_inputs=_cut(dataset.train_inputs, train),
        train_labels=_cut(dataset.train_labels, train),
        test_inputs=_cut(dataset.test_inputs, test),
        test_labels=_cut(dataset.test_labels, test),
        owners=None if dataset.owners is None else _cut(dataset.owners, train),
    )


def _cut(array: Array, kept: Array | None) -> Array:
    return array if kept is None else np.ascontiguousarray(array[kept])


def _kept(dataset: Dataset, part: str, count: int | None, seed: int) -> Array | None:
    """The samples that are drawn, ascending; None for all."""
    labels: Array = getattr(dataset, f"{part}_labels")
    if count is None or count == len(labels):
        return None
    if not 0 < count <= len(labels):
        raise Fault(
            f"data.{part}_samples = {count}: {dataset.name} has {len(labels)} {part} samples; "
            f"ask for 1 to {len(labels)}."
        )
    return strata.choose(labels, count, seeds.stream(seed, f"{part}_samples"))
