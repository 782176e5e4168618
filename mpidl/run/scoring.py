"""Scores of the saved models of a run on the test set of any data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mpidl.components.datasets import DATASETS, Dataset, subset
from mpidl.components.tasks import TASKS
from mpidl.config.faults import Fault
from mpidl.devices import building
from mpidl.devices.device import Device, Samples
from mpidl.devices.loading import data_folder
from mpidl.devices.objectives import Called, Objective
from mpidl.devices.scores import Score
from mpidl.run import arguments, saved_models
from mpidl.run.saved_models import Number, SavedModels

if TYPE_CHECKING:
    import xarray as xr


def evaluate(
    run: Path | str,
    dataset: object,
    *,
    devices: Sequence[Number] | None = None,
    use: str | Sequence[str] = (),
) -> "xr.Dataset":
    """Score saved models of a run on the test set of any data set, on a processor.

    Args:
        run: The results file, the folder of its checkpoints, or a checkpoint.
        dataset: A name, a dictionary with settings of ``[data]``, arrays (x, y), or whatever
            :func:`mpidl.train` takes.
        devices: The devices, ``"mean"`` among them for the mean of all; None for all devices.
        use: Files and modules of the user's own that the run used, or that the data need.

    Returns:
        ``loss``, and ``accuracy`` or what else the run's task gives, ``(device,)``; with classes
        ``class_accuracy``, ``(device, class)``.

    Warns:
        UserWarning: If the checkpoint is not that of the last round, or code is another.

    Raises:
        Fault: If there is no checkpoint, or the data do not fit the model.
    """
    try:
        import xarray as xr
    except ModuleNotFoundError:
        raise Fault("Scores are labelled by xarray: pip install 'mpidl[report]'.") from None
    found = saved_models.find(run, use)
    saved_models.warn(found)
    data = _dataset(dataset)
    _check_fit(found, data)
    task = found.section("task")
    aim = building.aim_of(TASKS.resolve(task.name, data.name, data.task), task)
    samples = Samples(
        torch.from_numpy(data.test_inputs),
        torch.from_numpy(data.test_labels),
        sequence=data.targets == "tokens",
        padding=data.padding,
    )
    numbers = list(range(found.head.devices)) if devices is None else list(devices)
    scores = [_score(found, number, samples, aim, len(data.classes)) for number in numbers]
    labels = [str(number) for number in numbers] if "mean" in numbers else numbers
    coordinates: dict[str, Any] = {"device": labels}
    variables: dict[str, Any] = {"loss": ("device", [score.loss for score in scores])}
    for name in aim.values:
        variables[name] = "device", [score.values[name] for score in scores]
    if data.classes and aim.masks:
        variables["class_accuracy"] = ("device", "class"), [score.by_class for score in scores]
        coordinates["class"] = list(data.classes)
    attributes = {"run": str(run), "round": found.head.round, "data": data.name}
    return xr.Dataset(variables, coordinates, attributes)


def _dataset(given: object) -> Dataset:
    """The data set that an argument means."""
    if isinstance(given, tuple | list) and len(given) == 2 and all(map(_is_array, given)):
        given = (*given, *given)
    told = arguments.read({"dataset": given})
    if told.dataset is not None:
        return DATASETS.checked(arguments.DATASET, told.dataset)
    section = told.data()
    data = DATASETS.build(section, data_folder(section.dir), 0)
    return subset(data, section.train_samples, section.test_samples, 0)


def _is_array(thing: object) -> bool:
    return hasattr(thing, "shape")


def _check_fit(found: SavedModels, data: Dataset) -> None:
    """Refuse data that the models do not take."""
    shape = found.shape
    if data.shape != shape.inputs or data.vocabulary != shape.vocabulary:
        raise Fault(
            f"dataset: has samples of the shape {data.shape}, and the models of {found.path} take "
            f"{shape.inputs}" + f" of {shape.vocabulary} tokens" * bool(shape.vocabulary) + "."
        )
    if data.outputs > shape.outputs:
        raise Fault(
            f"dataset: needs {data.outputs} outputs, and the models of {found.path} have "
            f"{shape.outputs}."
        )


def _score(
    found: SavedModels, number: Number, samples: Samples, aim: Objective, classes: int
) -> Score:
    model, training = found.model(number), found.section("training")
    if isinstance(aim, Called):
        aim.examine(model, *samples.batch(slice(building.FEW)))
    device = Device(0, model, samples, training, None, aim)
    return device.evaluate(samples, classes, found.section("evaluation"))
