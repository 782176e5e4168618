"""IDX format of MNIST: a magic number, the sizes, then one byte for each value."""

import gzip
import math
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from mpidl.config.faults import Fault

Array = npt.NDArray[Any]

GZIP = b"\x1f\x8b"
EXPANSION = 1032
"""Most bytes that deflate makes out of one, so a header cannot promise more."""
CHUNK = 1 << 20
BYTES = 1 << 30
"""Most values of a file; the largest of these data sets has 47 million."""


def check(path: Path, content: str) -> None:
    """Check that a file of images or labels can be read; its usual name says which of them it has.

    Raises:
        Fault: As :func:`read`.
    """
    read(path, 3 if "images" in content else 1)


def samples(
    images: Path, labels: Path, side: int, classes: int, first: int = 0
) -> tuple[Array, Array]:
    """Read a file of square images and the file of their labels, gzipped or not.

    Args:
        images: The file of images.
        labels: The file of labels.
        side: Pixels of a side.
        classes: C.
        first: The lowest label in the file; it becomes 0.

    Returns:
        The pixels, ``(n, side, side)`` uint8, and the labels, ``(n,)`` int64.

    Raises:
        Fault: If a file is damaged, its images have another size, the two files differ in length,
            or a label is not one of the ``classes`` from ``first`` on.
    """
    pixels, numbers = read(images, 3), read(labels, 1)
    if pixels.shape[1:] != (side, side):
        height, width = pixels.shape[1:]
        raise Fault(f"{images} holds images of {height} x {width} pixels, not {side} x {side}.")
    if len(pixels) != len(numbers):
        raise Fault(f"{labels} has {len(numbers)} labels for the {len(pixels)} images of {images}.")
    last = first + classes - 1
    for label in (numbers.max(), numbers.min()):
        if not first <= label <= last:
            raise Fault(f"{labels} has the label {label}; labels are {first} to {last}.")
    return pixels, numbers.astype(np.int64) - first


def read(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Read one IDX file of bytes, gzipped or not; memory is limited by what the file can hold.

    Args:
        path: The file.
        dimensions: Number of dimensions that the array must have.

    Raises:
        Fault: If the file cannot be read, is damaged, or has other dimensions.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            packed = file.read(2) == GZIP
            file.seek(0)
            if packed:
                return _array(gzip.GzipFile(fileobj=file), size * EXPANSION, path, dimensions)
            return _array(file, size, path, dimensions)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Fault(f"{path} is a damaged gzip file ({str(error).rstrip('.')}).") from None
    except OSError as error:
        raise Fault(f"Cannot read {path}: {error.strerror or error}.") from None


def _array(
    stream: IO[bytes] | gzip.GzipFile, capacity: int, path: Path, dimensions: int
) -> npt.NDArray[np.uint8]:
    shape = _shape(stream, path, dimensions)
    size, promise = math.prod(shape), " x ".join(str(extent) for extent in shape)
    if size == 0:
        raise Fault(f"{path} holds no data: its header says {promise} bytes.")
    if size > capacity:
        raise Fault(f"{path} is truncated: its header promises {promise} bytes, more than it has.")
    if size > BYTES:
        raise Fault(
            f"{path} is damaged: its header says {promise} bytes; at most {BYTES:,} are read."
        )
    data = bytearray()
    while chunk := stream.read(min(CHUNK, size - len(data))):
        data += chunk
    if len(data) < size:
        raise Fault(f"{path} is truncated: {len(data)} bytes of data where {promise} are promised.")
    if stream.read(1):
        raise Fault(f"{path} is damaged: data goes on after the {promise} bytes promised.")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _shape(stream: IO[bytes] | gzip.GzipFile, path: Path, dimensions: int) -> tuple[int, ...]:
    magic, expected = stream.read(4), bytes([0, 0, 8, dimensions])
    if magic != expected:
        beginning = f"0x{magic.hex()}" if magic else "nothing"
        raise Fault(
            f"{path} is not the IDX file expected: begins with {beginning}, not 0x{expected.hex()}."
        )
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise Fault(f"{path} is truncated within its header.")
    return tuple(int(extent) for extent in np.frombuffer(sizes, dtype=">u4"))
