"""Pictures as arrays: decoded by pillow, of one size and one number of channels."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mpidl.components.datasets.places import Side
from mpidl.config.faults import Fault, first_line

if TYPE_CHECKING:
    from PIL.Image import Image

Array = npt.NDArray[Any]
Channels = Literal[1, 3]
Size = Annotated[
    Annotated[list[Side], Field(min_length=2, max_length=2)] | None,
    Field(description="must be [height, width] in pixels"),
]

GREY = ("1", "L", "LA")
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Modes of pillow with more than 8 bits a pixel, which it would cut off."""


@dataclass(frozen=True)
class Form:
    """The form that pictures get; None keeps that of the files, in which all must be alike.

    Attributes:
        size: Height and width in pixels.
        channels: 1 for grey, 3 for colour.
    """

    size: tuple[int, int] | None = None
    channels: Channels | None = None


def stack(count: int, pictures: Iterable[tuple[str, Callable[[], "Image"]]], form: Form) -> Array:
    """Pictures as one array, ``(n, channels, height, width)`` float32 from 0 to 1.

    Args:
        count: n, at least 1.
        pictures: For each its name, for messages, and what opens it.
        form: The form that they get.

    Raises:
        Fault: If a picture cannot be read, or differs from the first in size or channels.
    """
    stacked, first = None, ""
    for place, (name, opened) in enumerate(pictures):
        pixels = _pixels(name, opened, form)
        if stacked is None:
            stacked, first = np.empty((count, *pixels.shape), np.float32), name
        _check_alike(stacked.shape[1:], pixels.shape, first, name)
        np.divide(pixels, np.float32(255), out=stacked[place])
    assert stacked is not None
    return stacked


def read(path: Path) -> "Image":
    """Open a picture's file."""
    from PIL import Image

    return Image.open(path)


def _pixels(name: str, opened: Callable[[], "Image"], form: Form) -> Array:
    """The pixels of a picture, ``(channels, height, width)`` uint8."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with opened() as picture:
                picture.load()
                pixels = _decoded(name, picture, form)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Fault(f"{name}: has too many pixels to be read.") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError) as error:
        if isinstance(error, Fault):
            raise
        raise Fault(f"{name} cannot be read as an image: {first_line(error)}.") from None
    return pixels


def _decoded(name: str, picture: "Image", form: Form) -> Array:
    from PIL import Image

    if picture.mode in DEEP:
        raise Fault(f"{name}: has more than 8 bits a pixel; images of 8 bits are read.")
    channels = form.channels or (1 if picture.mode in GREY else 3)
    picture = picture.convert("L" if channels == 1 else "RGB")
    if form.size is not None and picture.size != form.size[::-1]:
        picture = picture.resize(form.size[::-1], Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _check_alike(wanted: Sequence[int], found: Sequence[int], first: str, name: str) -> None:
    if wanted[0] != found[0]:
        grey, colour = (first, name) if wanted[0] == 1 else (name, first)
        raise Fault(
            f"{grey} is grey, and {colour} has colours; data.channels = 1 or 3 makes all alike."
        )
    if tuple(wanted) != tuple(found):
        one, other = (f"{height} x {width}" for _, height, width in (wanted, found))
        raise Fault(
            f"{name} has {other} pixels, and {first} {one}; data.size = [height, width] makes all "
            "alike."
        )
