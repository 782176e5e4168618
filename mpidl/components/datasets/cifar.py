"""CIFAR-10 and CIFAR-100: colour images of 32 x 32 pixels, the binary version."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.components.datasets import addresses
from mpidl.components.datasets.catalog import DATASETS
from mpidl.components.datasets.dataset import Dataset
from mpidl.components.datasets.files import locate
from mpidl.config.faults import Fault

Array = npt.NDArray[Any]

PIXELS = 3 * 32 * 32
BYTES = 1 << 30
"""Size up to which a file is read; the largest of these data sets has 154 million bytes."""
THINGS = "airplane automobile bird cat deer dog frog horse ship truck"
FINE_THINGS = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
    camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
    cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
    lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
    oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
    train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


@DATASETS.add(
    samples=(50_000, 10_000),
    sources=addresses.CIFAR10,
    check=lambda path, content: records(path, 10),
    pickles=("cifar-10-batches-py", "data_batch_1", "cifar-10-python.tar.gz"),
)
def cifar10(folder: Path | None, seed: int, /) -> Dataset:
    """Colour photographs, 32 x 32 pixels, 10 classes, 50,000 for training and 10,000 for testing.

    A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. The six ``.bin``
    files lie in the folder or its ``cifar-10-batches-bin``. Pixels become -1 to 1.

    Raises:
        Fault: If a file is missing or damaged.
    """
    batches = [f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)]
    return _read("cifar10", folder, batches, "cifar-10-batches-bin/test_batch.bin", THINGS)


@DATASETS.add(
    samples=(50_000, 10_000),
    sources=addresses.CIFAR100,
    check=lambda path, content: records(path, 100),
    pickles=("cifar-100-python", "train", "cifar-100-python.tar.gz"),
)
def cifar100(folder: Path | None, seed: int, /) -> Dataset:
    """Colour photographs, 32 x 32 pixels, 100 classes, 50,000 for training, 10,000 for testing.

    Source as CIFAR-10; the labels are the fine ones. ``train.bin`` and ``test.bin`` lie in the
    folder or its ``cifar-100-binary``. Pixels become -1 to 1.

    Raises:
        Fault: If a file is missing or damaged.
    """
    batches = ["cifar-100-binary/train.bin"]
    return _read("cifar100", folder, batches, "cifar-100-binary/test.bin", FINE_THINGS)


def records(path: Path, classes: int) -> tuple[Array, Array]:
    """Read one file of labels and pixels; with 100 classes a coarse label comes before the fine.

    Returns:
        The pixels, ``(n, 3, 32, 32)`` uint8, and the labels, ``(n,)`` int64.

    Raises:
        Fault: If the file cannot be read, is not a whole number of records, or has a label that
            is not below ``classes``.
    """
    marks = 2 if classes == 100 else 1
    try:
        if (size := path.stat().st_size) > BYTES:
            raise Fault(f"{path} is damaged: it has {size:,} bytes; at most {BYTES:,} are read.")
        data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise Fault(f"Cannot read {path}: {error.strerror or error}.") from None
    if not len(data) or len(data) % (marks + PIXELS):
        raise Fault(
            f"{path} is truncated or not of the binary version: "
            f"{len(data)} bytes are not a whole number of {marks + PIXELS}-byte records."
        )
    table = data.reshape(-1, marks + PIXELS)
    labels = table[:, marks - 1].astype(np.int64)
    if labels.max() >= classes:
        raise Fault(f"{path} has the label {labels.max()}; labels are 0 to {classes - 1}.")
    return table[:, marks:].reshape(-1, 3, 32, 32), labels


def _read(name: str, folder: Path | None, train: list[str], test: str, things: str) -> Dataset:
    classes = tuple(things.split())
    parts = [records(locate(name, folder, file), len(classes)) for file in [*train, test]]
    images, labels = zip(*parts, strict=True)
    return Dataset(
        name=name,
        train_inputs=_normalise(images[:-1]),
        train_labels=np.concatenate(labels[:-1]),
        test_inputs=_normalise(images[-1:]),
        test_labels=labels[-1],
        classes=classes,
        span=(-1.0, 1.0),
    )


def _normalise(batches: tuple[Array, ...]) -> npt.NDArray[np.float32]:
    """Scale pixels to 0 to 1, then subtract 0.5 and divide by 0.5."""
    images = np.concatenate(batches, dtype=np.float32)
    images /= 255
    images -= 0.5
    images /= 0.5
    return images
