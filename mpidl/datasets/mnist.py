"""MNIST and Fashion-MNIST: grey images of 28 x 28 pixels in four IDX files."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.datasets import idx
from mpidl.datasets.catalog import DATASETS, Dataset
from mpidl.datasets.sources import locate

GARMENTS = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


@DATASETS.add
def mnist(folder: Path | None, seed: int, /) -> Dataset:
    """Handwritten digits, 28 x 28 pixels, 60,000 for training and 10,000 for testing.

    Y. LeCun, C. Cortes, C. Burges, The MNIST database. The folder holds the four IDX files under
    their standard names, gzipped or plain. Pixels become 0 to 1.

    Raises:
        Fault: If a file is missing or damaged.
    """
    return _read("mnist", folder, tuple("0123456789"))


@DATASETS.add
def fashion_mnist(folder: Path | None, seed: int, /) -> Dataset:
    """Garments, 28 x 28 pixels, 60,000 for training and 10,000 for testing.

    H. Xiao, K. Rasul, R. Vollgraf, arXiv 1708.07747. Files and pixels as those of MNIST.

    Raises:
        Fault: If a file is missing or damaged.
    """
    return _read("fashion_mnist", folder, GARMENTS)


def _read(name: str, folder: Path | None, classes: tuple[str, ...]) -> Dataset:
    def part(prefix: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        images = _find(name, folder, f"{prefix}-images-idx3-ubyte")
        labels = _find(name, folder, f"{prefix}-labels-idx1-ubyte")
        pixels, numbers = idx.samples(images, labels, 28, len(classes))
        return np.divide(pixels[:, None], np.float32(255), dtype=np.float32), numbers

    train_inputs, train_labels = part("train")
    test_inputs, test_labels = part("t10k")
    return Dataset(
        name=name,
        train_inputs=train_inputs,
        train_labels=train_labels,
        test_inputs=test_inputs,
        test_labels=test_labels,
        classes=classes,
    )


def _find(name: str, folder: Path | None, file: str) -> Path:
    return locate(name, folder, f"{file}.gz", file)
