"""Images in a folder: a folder for each class, in train/ and test/ or with a share for testing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mpidl.components.datasets import pictures
from mpidl.components.datasets.arrays import Split, assemble
from mpidl.components.datasets.catalog import DATASETS
from mpidl.components.datasets.dataset import Dataset
from mpidl.components.datasets.labels import Part
from mpidl.components.datasets.pictures import Channels, Form, Size
from mpidl.components.datasets.places import SplitSeed, TestShare, folder_of, library
from mpidl.config.faults import Fault

ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".webp"}
ENDINGS |= {".tif", ".tiff"}
TRAIN, TEST = "train", ("test", "val")


def _look(folder: Path | None, section: Any) -> None:
    for part in _parts(folder_of(section.name, folder)):
        _classes(part)


@DATASETS.add(look=_look)
def images(
    folder: Path | None,
    seed: int,
    /,
    size: Size = None,
    channels: Channels | None = None,
    test_share: TestShare = 0.2,
    split_seed: SplitSeed = 0,
) -> Dataset:
    """A folder of images, in which each class has a folder; perhaps in train/ and test/ or val/.

    Pixels become 0 to 1. Files that are no images by their ending are left out.

    Args:
        folder: The folder, ``data.dir``.
        seed: Not used.
        size: Height and width to which images are resized; unset, all must have the same.
        channels: 1 makes all images grey, 3 gives all colours; unset, all must be alike.
        test_share: Without test/ or val/, the share of images for testing.
        split_seed: The seed of their draw, in which every class keeps its share.

    Raises:
        Fault: If folder or images are missing, an image cannot be read, or images are not alike.
    """
    library(images.__name__, "PIL.Image", "pillow")
    places = _parts(folder_of(images.__name__, folder))
    names = sorted({path.name for place in places for path in _classes(place)})
    form = Form(None if size is None else (size[0], size[1]), channels)
    parts = [_read(place, names, form) for place in places]
    test = parts[1] if len(parts) > 1 else Split(test_share, split_seed)
    return assemble(images.__name__, parts[0], test, classes=names)


def _parts(folder: Path) -> list[Path]:
    """The folders of images for training and for testing, or the one folder of all."""
    if not (folder / TRAIN).is_dir():
        return [folder]
    tests = [folder / name for name in TEST if (folder / name).is_dir()]
    return [folder / TRAIN, *tests[:1]]


def _classes(place: Path) -> list[Path]:
    """The folders of classes, each with images, by name.

    Raises:
        Fault: If there are none, or one has no images.
    """
    folders = sorted(p for p in place.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise Fault(f"{place}: must have a folder of images for each class, and has no folders.")
    for path in folders:
        if not any(_is_image(file) for file in path.rglob("*")):
            raise Fault(f"{path}: is the folder of a class, and has no images.")
    return folders


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file()


def _read(place: Path, names: Sequence[str], form: Form) -> Part:
    files, labels = [], []
    for path in _classes(place):
        found = sorted(file for file in path.rglob("*") if _is_image(file))
        files += found
        labels += [names.index(path.name)] * len(found)
    opened = ((str(file), lambda file=file: pictures.read(file)) for file in files)
    pixels = pictures.stack(len(files), opened, form)
    return Part(pixels, np.array(labels), None, f"images in {place}", f"classes in {place}")
