"""Loading of a data set: its arrays and traits, before ranks share them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.components import datasets, models, ood, placement
from mpidl.components.datasets.files import require
from mpidl.components.tasks import TASKS
from mpidl.config import seeds, shipped
from mpidl.config.faults import Fault
from mpidl.config.registry import Kinds
from mpidl.config.runfile import RunFile

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Traits:
    """Traits of a data set, beside its arrays.

    Attributes:
        shape: Shapes of a model's inputs and outputs.
        ood: Facts that a kind of OOD data needs.
        task: The name of the run's task.
        classes: C names; none if targets are numbers.
        sequence: Whether samples are token sequences whose next token is predicted.
        padding: The token that is never a target, -1 for none.
        content: Content of the whole data set, of which a run may use a part.
        untaught: Names of classes that the whole test set has, and no sample for training.
    """

    shape: models.Shape
    ood: ood.Shape
    task: str
    classes: tuple[str, ...]
    sequence: bool
    padding: int
    content: datasets.Content
    untaught: tuple[str, ...]


def load(file: RunFile, given: object = None) -> tuple[Traits, dict[str, Array], dict[str, Array]]:
    """Load a data set and split its test set; return traits, training arrays and test arrays.

    Raises:
        Fault: If files are missing or damaged, or model or kind of OOD data do not take them.
    """
    seed = file.training.seed
    if given is None:
        data = datasets.DATASETS.build(file.data, _folder(file), seed)
    else:
        data = datasets.DATASETS.checked(file.data.name, given)
    content = datasets.content(data, file.data.name, _folder(file))
    untaught = _untaught(data)
    data = datasets.subset(data, file.data.train_samples, file.data.test_samples, seed)
    train = {"inputs": data.train_inputs, "labels": data.train_labels}
    if placement.PLACEMENTS.properties(file.placement.name).by_owner:
        train["owners"] = _owners(file, data)
    classes = len(data.classes)
    _has_classes(file, data)
    traits = Traits(
        shape=models.Shape(data.shape, data.outputs, data.vocabulary),
        ood=ood.Shape(data.shape, classes, data.vocabulary, data.span),
        task=TASKS.resolve(file.task.name, file.data.name, data.task),
        classes=data.classes,
        sequence=data.targets == "tokens",
        padding=data.padding,
        content=content,
        untaught=untaught,
    )
    models.MODELS.fit(file.model, traits.shape)
    shift = ood.OODS.build(file.ood, traits.ood)
    draw = seeds.stream(seed, "ood_test")
    halves = ood.split_test(shift, data.test_inputs, data.test_labels, file.ood.test_share, draw)
    keys = ("iid_inputs", "iid_labels", "ood_inputs", "ood_labels")
    return traits, train, dict(zip(keys, halves, strict=True))


def _untaught(data: datasets.Dataset) -> tuple[str, ...]:
    """Names of the classes that test samples have, and no sample for training."""
    if data.targets != "classes":
        return ()
    missing = np.setdiff1d(data.test_labels, data.train_labels)
    return tuple(data.classes[label] for label in missing.tolist())


def _owners(file: RunFile, data: datasets.Dataset) -> Array:
    """Whom each training sample belongs to, ``(n,)``.

    Raises:
        Fault: If the data set does not say.
    """
    if data.owners is None:
        more = " data.device_column names the column that does." * hasattr(
            file.data, "device_column"
        )
        raise Fault(
            f"placement.name = {file.placement.name!r}: data.name = {file.data.name!r} does not "
            f"say which device a sample belongs to.{more}"
        )
    return data.owners


def _has_classes(file: RunFile, data: datasets.Dataset) -> None:
    """Check that a data set has the classes that a run file asks for.

    Raises:
        Fault: If it has none, with a sentence for each setting that needs them.
    """
    kinds: Kinds = {"placement": placement.PLACEMENTS, "ood": ood.OODS}
    faults = []
    for section, registry in kinds.items():
        name = getattr(file, section).name
        if not data.classes and registry.properties(name).classes:
            free = ", ".join(repr(one) for one in registry.having(classes=False))
            faults.append(
                f"{section}.name = {name!r}: needs classes, and data.name = {file.data.name!r} has "
                f"numbers as targets; without classes: {free}."
            )
    if faults:
        raise Fault(*faults)


def foresee(file: RunFile) -> None:
    """Check what :func:`load` checks, as far as that is quick: files are not read.

    Raises:
        Fault: As :func:`load`.
    """
    told = datasets.DATASETS.properties(file.data.name)
    if told.sources:
        require(file.data.name, _folder(file), file.data)
    elif told.look is not None:
        told.look(_folder(file), file.data)
    else:
        load(file)


def _folder(file: RunFile) -> Path | None:
    return data_folder(file.data.dir)


def data_folder(place: str | None) -> Path | None:
    """The folder that ``data.dir`` names; None if it names none."""
    return None if place is None else shipped.find(Path(os.path.expanduser(place)))
