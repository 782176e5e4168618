"""Arrays in the file of a checkpoint: HDF5, with the arrays of each device at known places.

Each rank writes and reads its devices' arrays by itself. Reading needs no HDF5, allocates no more
memory than the file has bytes, and compares the arrays with the checksums of each device.
"""

import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.ranks import hdf5
from mpidl.storage.checkpoint import heads
from mpidl.storage.checkpoint.heads import SUMS, Damaged, Extent, Head, Story

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
Form = tuple[tuple[int, ...], np.dtype[Any]]
Forms = Mapping[str, Form]


BLOCK = 4096
"""Bytes: the least size of the head's block, and the alignment of the arrays behind it."""

PIECE = 1 << 22
"""Bytes that are written at a time, few enough to be in the cache for their checksum."""


def lay_out(path: Path, story: Story, round_: int, forms: Sequence[Forms]) -> Head:
    """Make the file, from one process, with room for the arrays of all devices.

    Args:
        path: The file.
        story: Description of its run.
        round_: Number of rounds done, r.
        forms: The shapes and types of the arrays of each device.

    Raises:
        OSError: If the disk refuses it.
    """
    sums = (len(forms[0]),), np.dtype(np.uint32)
    complete = [{**form, SUMS: sums} for form in forms]
    block, devices = BLOCK, len(forms)
    uneven = sum(len({form[name] for form in complete}) > 1 for name in complete[0])
    room = 256 * len(complete[0]) + 20 * uneven * devices
    while block < len(story.model_dump_json().encode()) + room + BLOCK // 2:
        block *= 2
    with hdf5.File(
        path, "w-", libver=("v108", "v110"), userblock_size=block, alignment_interval=BLOCK
    ) as file:
        for key, value in story.model_dump(exclude={"origin", "samples", "code"}).items():
            file.attrs[key] = ", ".join(map(str, value)) if isinstance(value, list) else value
        file.attrs["round"] = round_
        extents = {
            name: _extent(file, name, [form[name] for form in complete]) for name in complete[0]
        }
    size = path.stat().st_size
    head = Head(story=story, round=round_, devices=devices, size=size, arrays=extents)
    heads.write(path, head)
    return head


def _extent(file: "hdf5.File", name: str, forms: Sequence[Form]) -> Extent:
    # The ranks write the data: HDF5 allocates its place, and fills nothing.
    dcpl = hdf5.h5p.create(hdf5.h5p.DATASET_CREATE)
    dcpl.set_alloc_time(hdf5.h5d.ALLOC_TIME_EARLY)
    dcpl.set_fill_time(hdf5.h5d.FILL_TIME_NEVER)
    (shape, dtype), even = forms[0], len(set(forms)) == 1
    lengths = [] if even else [length for (length,), _ in forms]
    stored_shape = (len(forms), *shape) if even else (sum(lengths),)
    dataset = file.create_dataset(name, stored_shape, dtype, dcpl=dcpl)
    start, type_name = dataset.id.get_offset() or 0, np.dtype(dtype).newbyteorder("<").str
    return Extent(start=start, shape=list(shape) if even else [], dtype=type_name, lengths=lengths)


def forms(arrays: Arrays) -> Forms:
    """The shapes and types of a device's arrays."""
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


def write(descriptor: int, head: Head, device: int, arrays: Arrays) -> None:
    """Write the arrays of one device and their checksums.

    Raises:
        OSError: If the disk refuses it.
    """
    sums = []
    for name, extent in head.saved.items():
        array = np.ascontiguousarray(arrays[name], extent.dtype)
        sums.append(_put(descriptor, array, extent.of(device)[0]))
    extent = head.arrays[SUMS]
    _put(descriptor, np.array(sums, extent.dtype), extent.of(device)[0])


def load(path: Path, head: Head, devices: Iterable[int], only: str = "") -> list[dict[str, Array]]:
    """The arrays of some devices, or of each device only the one that is named.

    Raises:
        Damaged: If they differ from their checksums.
    """
    wanted = {name: extent for name, extent in head.saved.items() if only in ("", name)}
    places = [at for at, name in enumerate(head.saved) if name in wanted]
    loaded = []
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            for device in devices:
                sums = _get(descriptor, head.arrays[SUMS], device)[places].tolist()
                arrays = {name: _get(descriptor, extent, device) for name, extent in wanted.items()}
                for (name, array), checksum in zip(arrays.items(), sums, strict=True):
                    if zlib.crc32(_bytes(array)) != checksum:
                        raise Damaged(f"has a damaged {name} of device {device}")
                loaded.append(arrays)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Damaged(f"cannot be read: {error.strerror}") from None
    except (ValueError, OverflowError):
        # An array without elements can claim any shape.
        raise Damaged("has arrays of impossible shapes") from None
    return loaded


def _bytes(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _put(descriptor: int, array: Array, start: int) -> int:
    """Write an array, let the disk start on each piece of it, and return its checksum."""
    left, sum_ = _bytes(array), 0
    while left:
        written = os.pwrite(descriptor, left[:PIECE], start)
        sum_ = zlib.crc32(left[:written], sum_)
        os.posix_fadvise(descriptor, start, written, os.POSIX_FADV_DONTNEED)
        left, start = left[written:], start + written
    return sum_


def _get(descriptor: int, extent: Extent, device: int) -> Array:
    start, shape = extent.of(device)
    array: Array = np.empty(shape, extent.dtype)
    left = _bytes(array)
    while left:
        count = os.preadv(descriptor, [left], start)
        if not count:
            raise Damaged("ends too early")
        left, start = left[count:], start + count
    return array
