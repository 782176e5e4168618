"""Data sets of the library datasets of Hugging Face, as they were saved to a folder."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpidl.components.datasets import pictures
from mpidl.components.datasets.arrays import Scaling, Split, assemble
from mpidl.components.datasets.catalog import DATASETS
from mpidl.components.datasets.columns import NONE, Columns, Roles, apart, part
from mpidl.components.datasets.dataset import Dataset
from mpidl.components.datasets.labels import Labels, Part
from mpidl.components.datasets.pictures import Channels, Form, Size
from mpidl.components.datasets.places import (
    SampleShape,
    SplitSeed,
    TestShare,
    folder_of,
    library,
)
from mpidl.config.faults import Fault, first_line, shown

if TYPE_CHECKING:
    from PIL.Image import Image

Saved = Any
"""A Dataset of that library."""

TRAIN, TEST = "train", ("test", "validation")


@DATASETS.add(look=lambda folder, section: folder_of(section.name, folder))
def huggingface(
    folder: Path | None,
    seed: int,
    /,
    label: str = "label",
    labels: Labels = "classes",
    device_column: str | None = None,
    ignore: Columns = NONE,
    size: Size = None,
    channels: Channels | None = None,
    scaling: Scaling = "none",
    shape: SampleShape = None,
    test_share: TestShare = 0.2,
    split_seed: SplitSeed = 0,
) -> Dataset:
    """A folder of ``save_to_disk`` of Hugging Face's datasets: images, or columns of numbers.

    The splits ``train`` and ``test`` (or ``validation``) are those of the run.

    Args:
        folder: The folder, ``data.dir``.
        seed: Not used.
        label: The column of labels: classes, whole numbers or texts.
        labels: Whether labels are classes, or numbers that models predict.
        device_column: The column that says whom a sample belongs to, for placement.name = 'given'.
        ignore: Columns that are left out; beside a column of images all others are.
        size: Height and width to which images are resized; unset, all must have the same.
        channels: 1 makes all images grey, 3 gives all colours; unset, all must be alike.
        scaling: Of numbers; ``standard`` gives every column mean 0 and deviation 1, ``unit`` brings
            all values to 0 to 1, both by the samples for training.
        shape: The shape of one sample of numbers; unset, as in the columns.
        test_share: Without a split for testing, the share of samples for it.
        split_seed: The seed of their draw, in which every class keeps its share.

    Raises:
        Fault: If it is missing or damaged, or a column is missing or has no such values.
    """
    place = folder_of(huggingface.__name__, folder)
    saved = _splits(place)
    form = Form(None if size is None else (size[0], size[1]), channels)
    roles = Roles(label, device_column, ignore, labels == "numbers")
    parts = [_part(split, roles, form, f"{name} of {place}") for name, split in saved]
    names = getattr(saved[0][1].features[label], "names", None)
    return assemble(
        huggingface.__name__,
        parts[0],
        parts[1] if len(parts) > 1 else Split(test_share, split_seed),
        labels=labels,
        classes=names,
        categories=names is None,
        scaling=scaling,
        shape=shape,
    )


def _splits(place: Path) -> list[tuple[str, Saved]]:
    """The split for training, or the only one, and perhaps that for testing, by name."""
    reader = library(huggingface.__name__, "datasets", "datasets")
    try:
        saved = reader.load_from_disk(str(place))
    except Exception as error:  # the library and those below it raise what they like
        why = first_line(error)
        raise Fault(f"{place} cannot be read as a data set of Hugging Face: {why}.") from None
    if not isinstance(saved, dict):
        return [("the data set", saved)]
    if TRAIN not in saved:
        raise Fault(f"{place}: must have a split named train; it has {', '.join(saved)}.")
    names = [TRAIN, *[name for name in TEST if name in saved][:1]]
    return [(name, saved[name]) for name in names]


def _part(split: Saved, roles: Roles, form: Form, told: str) -> Part:
    inputs, count = roles.check(split.column_names, told), len(split)
    if not count:
        raise Fault(f"{told}: has no rows.")
    table = split.with_format("arrow")
    pictured = [name for name in inputs if type(split.features[name]).__name__ == "Image"]
    if not pictured:
        return part(table[:], roles, told, 1)
    if len(pictured) > 1:
        one, other = map(shown, pictured[:2])
        raise Fault(f"{told}: has images in the columns {one} and {other}; data.ignore = [{one}].")
    library(huggingface.__name__, "PIL.Image", "pillow")
    pixels = pictures.stack(count, _pictures(split, pictured[0], told), form)
    named = [name for name in (roles.label, roles.owner) if name is not None]
    return apart(pixels, table.select_columns(named)[:], roles, told, 1)


def _pictures(split: Saved, column: str, told: str) -> Iterator[tuple[str, Callable[[], "Image"]]]:
    images = split.select_columns([column]).with_format(None)
    for place in range(len(split)):
        yield f"the image of row {place + 1:,} of {told}", partial(_picture, images, place, column)


def _picture(images: Saved, place: int, column: str) -> "Image":
    picture: Image = images[place][column]
    return picture
