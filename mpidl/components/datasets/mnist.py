"""MNIST and data sets made like it: grey images of 28 x 28 pixels in four IDX files."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mpidl.components.datasets import addresses, idx
from mpidl.components.datasets.catalog import DATASETS
from mpidl.components.datasets.dataset import Dataset
from mpidl.components.datasets.files import locate

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


DIGITS = tuple("0123456789")
KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
UPPER, LOWER = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), tuple("abcdefghijklmnopqrstuvwxyz")
MERGED = (*DIGITS, *UPPER, *"abdefghnqrt")
"""Digits and letters; a small letter that looks like its capital shares the capital's class."""

CHARACTERS = {
    "balanced": MERGED,
    "byclass": (*DIGITS, *UPPER, *LOWER),
    "bymerge": MERGED,
    "letters": LOWER,
    "digits": DIGITS,
    "mnist": DIGITS,
}
"""The classes of each split of EMNIST."""

SAMPLES = {
    "balanced": (112_800, 18_800),
    "byclass": (697_932, 116_323),
    "bymerge": (697_932, 116_323),
    "letters": (124_800, 20_800),
    "digits": (240_000, 40_000),
    "mnist": (60_000, 10_000),
}
"""Numbers of training and test samples of each split of EMNIST."""


@DATASETS.add(
    samples=(60_000, 10_000),
    sources=addresses.MNIST,
    check=idx.check,
    published=frozenset({"43266f416755e2bcf79930f19b29461374db4bd8a394f0d726791573962c1884"}),
)
def mnist(folder: Path | None, seed: int, /) -> Dataset:
    """Handwritten digits, 28 x 28 pixels, 60,000 for training and 10,000 for testing.

    Y. LeCun, C. Cortes, C. Burges, The MNIST database. The folder holds the four IDX files under
    their standard names, gzipped or plain, as Kaggle calls them, or in ``MNIST/raw`` or ``raw``, as
    torchvision lays them out. Pixels become 0 to 1.

    Raises:
        Fault: If a file is missing or damaged.
    """
    return _read("mnist", folder, DIGITS)


@DATASETS.add(
    samples=(60_000, 10_000),
    sources=addresses.FASHION_MNIST,
    check=idx.check,
    published=frozenset({"bc3c9941d6844a3353ad3edae54d13c157c319fc22d5571c22ac309c437a43c9"}),
)
def fashion_mnist(folder: Path | None, seed: int, /) -> Dataset:
    """Garments, 28 x 28 pixels, 60,000 for training and 10,000 for testing.

    H. Xiao, K. Rasul, R. Vollgraf, arXiv 1708.07747. Files and pixels as those of MNIST.

    Raises:
        Fault: If a file is missing or damaged.
    """
    return _read("fashion_mnist", folder, GARMENTS)


@DATASETS.add(
    samples=(60_000, 10_000),
    sources=addresses.KMNIST,
    check=idx.check,
)
def kmnist(folder: Path | None, seed: int, /) -> Dataset:
    """Old Japanese characters, 28 x 28 pixels, 60,000 for training and 10,000 for testing.

    Kuzushiji-MNIST: T. Clanuwat et al., arXiv 1812.01718. Files and pixels as those of MNIST.

    Raises:
        Fault: If a file is missing or damaged.
    """
    return _read("kmnist", folder, KANA)


@DATASETS.add(
    samples=lambda section: SAMPLES[getattr(section, "split", "balanced")],
    sources=addresses.EMNIST,
    check=idx.check,
)
def emnist(
    folder: Path | None,
    seed: int,
    /,
    split: Literal["balanced", "byclass", "bymerge", "letters", "digits", "mnist"] = "balanced",
) -> Dataset:
    """Handwritten letters and digits, 28 x 28 pixels, in splits of 10 to 62 classes.

    G. Cohen et al., arXiv 1702.05373. The folder holds the IDX files of the split
    (``emnist-balanced-train-images-idx3-ubyte`` ...), gzipped or plain, also in ``gzip`` or
    ``EMNIST/raw``. Pixels become 0 to 1; images, which are published lying on their side, are set
    upright; the labels of ``letters``, from 1 to 26, become 0 to 25.

    Raises:
        Fault: If a file is missing or damaged.
    """
    return _read("emnist", folder, CHARACTERS[split], split)


def _read(name: str, folder: Path | None, classes: tuple[str, ...], split: str = "") -> Dataset:
    train_inputs, train_labels = _part(name, folder, "train", len(classes), split)
    second = "test" if split else "t10k"
    test_inputs, test_labels = _part(name, folder, second, len(classes), split)
    return Dataset(
        name=name,
        train_inputs=train_inputs,
        train_labels=train_labels,
        test_inputs=test_inputs,
        test_labels=test_labels,
        classes=classes,
    )


def _part(
    name: str, folder: Path | None, which: str, classes: int, split: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
    begin, end = (f"gzip/emnist-{split}-", ".gz") if split else ("", "")
    images = locate(name, folder, f"{begin}{which}-images-idx3-ubyte{end}")
    labels = locate(name, folder, f"{begin}{which}-labels-idx1-ubyte{end}")
    pixels, numbers = idx.samples(images, labels, 28, classes, first=int(split == "letters"))
    if split:
        pixels = np.ascontiguousarray(pixels.transpose(0, 2, 1))
    return np.divide(pixels[:, None], np.float32(255), dtype=np.float32), numbers
