"""Forms in which a builder of one's own may give a data set, turned into the one form."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.components.datasets.arrays import Split, assemble
from mpidl.components.datasets.dataset import Dataset
from mpidl.components.datasets.labels import Labels, Part
from mpidl.config.faults import Fault, first_line, shown

Array = npt.NDArray[Any]

NAMES = ("x", "y", "x_test", "y_test")


def accept(name: str, built: Any) -> Any:
    """The data set that a builder gave, in whichever form; anything else as it is.

    Args:
        name: The name of the data set in the run file.
        built: A :class:`Dataset`; four arrays or tensors, x, y, x_test and y_test, in this order or
            by name, as :func:`assemble` takes them, by name also ``devices`` (whom training samples
            belong to) and ``classes`` (their names); two map-style torch Datasets, for training
            and for testing, whose samples are pairs of input and label; or one and the share of it
            for testing. Labels of a floating type are numbers to predict.

    Raises:
        Fault: If these are not those of a data set.
    """
    if isinstance(built, Dataset):
        return built
    try:
        return _accepted(name, built)
    except Fault as fault:
        raise Fault(*(f"data.name = {name!r}: {told}" for told in fault.sentences)) from None


def _accepted(name: str, built: Any) -> Any:
    if isinstance(built, dict) and set(NAMES) <= built.keys() <= {*NAMES, "devices", "classes"}:
        return _of_arrays(
            name, [built[key] for key in NAMES], built.get("devices"), built.get("classes")
        )
    if not isinstance(built, tuple | list):
        return built
    if len(built) == 4:
        return _of_arrays(name, built)
    if len(built) != 2 or not _mapped(built[0]):
        return built
    first, second = built
    if isinstance(second, float) and 0 < second < 1:
        return _of_parts(name, _drawn(first, "the Dataset"), Split(second), _names(first))
    if not _mapped(second):
        return built
    train, test = _drawn(first, "the Dataset for training"), _drawn(second, "that for testing")
    return _of_parts(name, train, test, _names(first))


def _of_arrays(
    name: str, four: Sequence[Any], devices: Any = None, classes: Sequence[str] | None = None
) -> Dataset:
    x, y, x_test, y_test = (_array(values, key) for key, values in zip(NAMES, four, strict=True))
    owners = None if devices is None else _array(devices, "devices")
    return _of_parts(name, Part(x, y, owners), Part(x_test, y_test, None, *NAMES[2:]), classes)


def _of_parts(
    name: str, train: Part, test: Part | Split, classes: Sequence[str] | None = None
) -> Dataset:
    """The data set of samples; labels of a floating type are numbers to predict."""
    labels: Labels = "numbers" if train.labels.dtype.kind == "f" else "classes"
    return assemble(name, train, test, labels=labels, classes=classes)


def _array(values: Any, told: str) -> Array:
    """An array of whatever numpy takes, such as a tensor."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise Fault(f"{told} cannot be read as an array: {first_line(error)}.") from None


def _mapped(given: Any) -> bool:
    """Whether something is a map-style Dataset of torch, by what it can do."""
    arrays = isinstance(given, np.ndarray | str | dict) or hasattr(given, "detach")
    return hasattr(given, "__getitem__") and not arrays


def _names(dataset: Any) -> Sequence[str] | None:
    """The names of classes, where a data set says them as torchvision's do."""
    names = getattr(dataset, "classes", None)
    fit = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return names if fit and names else None


def _drawn(dataset: Any, told: str) -> Part:
    """All samples of a Dataset, each read once, with torch's random numbers of one seed."""
    import torch

    if not hasattr(dataset, "__len__"):
        raise Fault(f"{told} has no length: must be map-style, with __len__ and __getitem__.")
    count = len(dataset)
    if not count:
        raise Fault(f"{told} has no samples.")
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return _read(dataset, count, told)


def _read(dataset: Any, count: int, told: str) -> Part:
    inputs, labels = None, []
    for place in range(count):
        sample = dataset[place]
        if not isinstance(sample, tuple | list) or len(sample) != 2:
            raise Fault(
                f"sample {place} of {told} is {shown(sample)}: must be a pair of input and label."
            )
        x = _array(sample[0], f"the input of sample {place} of {told}")
        if inputs is None:
            inputs = np.empty((count, *x.shape), x.dtype)
        if (x.shape, x.dtype) != (inputs.shape[1:], inputs.dtype):
            raise Fault(
                f"sample {place} of {told} has the shape {x.shape} of {x.dtype}, and sample 0 "
                f"{inputs.shape[1:]} of {inputs.dtype}; all must be alike."
            )
        inputs[place] = x
        labels.append(_array(sample[1], f"the label of sample {place} of {told}"))
    assert inputs is not None
    return Part(inputs, _stacked(labels, told), None, f"inputs of {told}", f"labels of {told}")


def _stacked(labels: list[Array], told: str) -> Array:
    first = labels[0].shape
    if other := next((label for label in labels if label.shape != first), None):
        raise Fault(f"labels of {told} have the shapes {first} and {other.shape}: must be alike.")
    return np.stack(labels)
