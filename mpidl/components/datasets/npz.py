"""Arrays in one file of numpy: those of one's own, of Keras or of MedMNIST."""

import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mpidl.components.datasets.arrays import Split, assemble
from mpidl.components.datasets.catalog import DATASETS
from mpidl.components.datasets.dataset import Dataset
from mpidl.components.datasets.labels import Labels, Part
from mpidl.components.datasets.places import File, SampleShape, SplitSeed, TestShare, file_of
from mpidl.config.faults import Fault, shown

Array = npt.NDArray[Any]

TRAIN = (("x", "y"), ("x_train", "y_train"), ("train_images", "train_labels"))
TEST = (("x_test", "y_test"), ("test_images", "test_labels"))
VALIDATION = (("x_val", "y_val"), ("val_images", "val_labels"))
DAMAGED = (
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    MemoryError,
    OverflowError,
    RuntimeError,
)
"""Errors that a file may cause: of its zip archive, and of the arrays in it."""
OWNERS, CLASSES = "devices", "classes"


@DATASETS.add(look=lambda folder, section: file_of("file", section.file, folder))
def npz(
    folder: Path | None,
    seed: int,
    /,
    file: File,
    labels: Labels = "classes",
    validation: Literal["left out", "train", "test"] = "left out",
    test_share: TestShare = 0.2,
    split_seed: SplitSeed = 0,
    shape: SampleShape = None,
) -> Dataset:
    """Four arrays x, y, x_test and y_test in one npz file, or those of Keras or MedMNIST.

    Their names are those, or x_train and y_train (Keras), or train_images, train_labels,
    test_images and test_labels (MedMNIST). uint8 inputs are images, (n, h, w), (n, h, w, channels)
    or (n, channels, h, w), and become 0 to 1; other numbers stay as they are. Labels are whole
    numbers from 0 on, or texts. An array ``devices`` says whom each training sample belongs to, an
    array ``classes`` what classes are called.

    Args:
        folder: The folder of the file; None for the current one.
        seed: Not used.
        file: The file.
        labels: Whether labels are classes, or numbers that models predict, one or more a sample.
        validation: Whether samples for validation (x_val and y_val, or val_images and val_labels)
            are left out, join those for training, or take the place of those for testing.
        test_share: The share of samples for testing, if the file has none for it.
        split_seed: The seed of their draw, in which every class keeps its share.
        shape: The shape of one sample, if it is another than in the file.

    Raises:
        Fault: If the file is missing or damaged, or its arrays are not those of a data set.
    """
    path = file_of("file", file, folder)
    arrays = _read(path)
    train = _part(path, arrays, TRAIN)
    if train is None:
        names = ", ".join(arrays) or "nothing"
        raise Fault(f"{path}: must have arrays named x and y, with all samples; it has {names}.")
    test: Part | Split | None = _part(path, arrays, TEST)
    if validation != "left out":
        more = _part(path, arrays, VALIDATION)
        if more is None:
            told = shown(validation)
            raise Fault(f"data.validation = {told}: {path} has no arrays x_val and y_val.")
        train, test = (train, more) if validation == "test" else (_joined(train, more), test)
    named = [str(name) for name in arrays[CLASSES].ravel()] if CLASSES in arrays else None
    return assemble(
        npz.__name__,
        train,
        test or Split(test_share, split_seed),
        labels=labels,
        classes=named,
        shape=shape,
    )


def _read(path: Path) -> dict[str, Array]:
    """All arrays of a file by name."""
    try:
        with open(path, "rb") as opened:
            file = np.load(opened, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise Fault(f"{path}: must be an npz file, of several arrays by name.")
            return {name: file[name] for name in file.files}
    except DAMAGED as error:
        if isinstance(error, Fault):
            raise
        why = "it holds Python objects, which are not read" if "pickle" in str(error) else error
        raise Fault(f"{path} cannot be read as an npz file: {str(why).rstrip('.')}.") from None
    except OSError as error:
        raise Fault(f"Cannot read {path}: {error.strerror or error}.") from None


def _part(path: Path, arrays: dict[str, Array], names: tuple[tuple[str, str], ...]) -> Part | None:
    """The first pair of arrays that a file has; None if it has none of the pairs."""
    for x, y in names:
        if (x in arrays) != (y in arrays):
            there, missing = (x, y) if x in arrays else (y, x)
            raise Fault(f"{path}: has an array {there}, and none named {missing}.")
        if x in arrays:
            owners = arrays.get(OWNERS) if names is TRAIN else None
            return Part(arrays[x], arrays[y], owners, f"{x} of {path}", f"{y} of {path}")
    return None


def _joined(one: Part, other: Part) -> Part:
    if one.owners is not None or one.inputs.shape[1:] != other.inputs.shape[1:]:
        told = f"{one.inputs_told} and {other.inputs_told}"
        raise Fault(f"data.validation = 'train': {told} do not go together.")
    return Part(
        np.concatenate([one.inputs, other.inputs]),
        np.concatenate([one.labels, other.labels]),
        None,
        one.inputs_told,
        one.labels_told,
    )
