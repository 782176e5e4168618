"""The file of a checkpoint: HDF5, with the arrays of each device at places that its head tells.

The head lies in HDF5's user block under a checksum of its own. Ranks write and read their devices'
arrays at once, each by itself, and what is read was never trusted: it needs no HDF5, allocates no
more than the file has, and is compared with the checksums of each device.
"""

import os
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mpidl.ranks import hdf5

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
Form = tuple[tuple[int, ...], np.dtype[Any]]
Forms = Mapping[str, Form]

VERSION = 2
"""Of the file; another one is not read."""

FIRST = re.compile(rb"mpidl checkpoint ([0-9]{1,9}) ([0-9a-f]{8}) ([0-9]{1,8})\n")
"""The first line: version, checksum of the head, and how many bytes it takes."""

SUMS = "checksums"
"""The array of each device's checksums, of its other arrays in their order."""

BLOCK = 4096
"""Bytes: the least size of the head's block, and what the arrays behind it are aligned to."""

PIECE = 1 << 22
"""Bytes that are written at a time: few enough to be in the cache when they are summed up."""


class Damaged(Exception):  # noqa: N818
    """Why a file is no whole checkpoint."""


class Story(BaseModel):
    """What run a checkpoint is of, and what became of it.

    Attributes:
        run_file: Resolved, as TOML.
        origin: A checksum of each thing that is not in the run file: graph and test sets.
        started: When the run began.
        resumed: The rounds at which it went on after it had stopped.
        mpidl: The version that wrote it.
        commit: That of git, if there was one.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    run_file: str
    origin: dict[str, int]
    started: str
    resumed: list[int]
    mpidl: str
    commit: str


class Slab(BaseModel):
    """Where an array is: that of each device in C order, behind that of the one before.

    Attributes:
        start: Of the first device's, in bytes from the beginning of the file.
        shape: Of one device's.
        dtype: Of its numbers, as numpy writes it.
        lengths: Of each device's, where they differ; such arrays have one dimension.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    start: int = Field(ge=0)
    shape: list[int] = Field(max_length=8)
    dtype: str = Field(pattern="^<[fiu][248]$")
    lengths: list[Annotated[int, Field(ge=0)]] = []

    def of(self, device: int) -> tuple[int, list[int]]:
        """Where one device's begins in the file, and its shape."""
        itemsize = int(self.dtype[2:])
        if self.lengths:
            return self.start + sum(self.lengths[:device]) * itemsize, [self.lengths[device]]
        return self.start + device * prod(self.shape) * itemsize, self.shape

    def end(self, devices: int) -> int:
        """Where that of the last device ends."""
        start, shape = self.of(devices - 1)
        return start + prod(shape) * int(self.dtype[2:])


class Head(BaseModel):
    """What a file says of itself.

    Attributes:
        story: What run it is of.
        round: How many rounds are in it, r.
        devices: N.
        size: Bytes of the file.
        arrays: By name, all those of a device.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    story: Story
    round: int = Field(ge=1)
    devices: int = Field(ge=1)
    size: int
    arrays: dict[str, Slab]

    @property
    def saved(self) -> dict[str, Slab]:
        """All arrays but that of the checksums."""
        return {name: slab for name, slab in self.arrays.items() if name != SUMS}


def lay_out(path: Path, story: Story, round_: int, forms: Sequence[Forms]) -> Head:
    """Make the file, as one process, with room for the arrays of all devices.

    Args:
        path: The file.
        story: What run it is of.
        round_: r.
        forms: Of each device the shapes and types of its arrays.

    Raises:
        OSError: If the disk does not take it.
    """
    sums = (len(forms[0]),), np.dtype(np.uint32)
    told = [{**form, SUMS: sums} for form in forms]
    block, devices = BLOCK, len(forms)
    uneven = sum(len({form[name] for form in told}) > 1 for name in told[0])
    room = 256 * len(told[0]) + 20 * uneven * devices
    while block < len(story.model_dump_json()) + room + BLOCK // 2:
        block *= 2
    with hdf5.File(
        path, "w-", libver=("v108", "v110"), userblock_size=block, alignment_interval=BLOCK
    ) as file:
        for key, value in story.model_dump(exclude={"origin"}).items():
            file.attrs[key] = ", ".join(map(str, value)) if isinstance(value, list) else value
        file.attrs["round"] = round_
        slabs = {name: _slab(file, name, [form[name] for form in told]) for name in told[0]}
    size = path.stat().st_size
    head = Head(story=story, round=round_, devices=devices, size=size, arrays=slabs)
    text = head.model_dump_json().encode()
    first = f"mpidl checkpoint {VERSION} {zlib.crc32(text):08x} {len(text)}\n".encode()
    with path.open("r+b") as raw:
        raw.write(first + text)
    return head


def _slab(file: "hdf5.File", name: str, forms: Sequence[Form]) -> Slab:
    # All is written, by the ranks: HDF5 must say where, and fill nothing.
    dcpl = hdf5.h5p.create(hdf5.h5p.DATASET_CREATE)
    dcpl.set_alloc_time(hdf5.h5d.ALLOC_TIME_EARLY)
    dcpl.set_fill_time(hdf5.h5d.FILL_TIME_NEVER)
    (shape, dtype), even = forms[0], len(set(forms)) == 1
    lengths = [] if even else [length for (length,), _ in forms]
    whole = (len(forms), *shape) if even else (sum(lengths),)
    dataset = file.create_dataset(name, whole, dtype, dcpl=dcpl)
    start, told = dataset.id.get_offset() or 0, np.dtype(dtype).newbyteorder("<").str
    return Slab(start=start, shape=list(shape) if even else [], dtype=told, lengths=lengths)


def forms(arrays: Arrays) -> Forms:
    """The shapes and types of a device's arrays."""
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


def write(descriptor: int, head: Head, device: int, arrays: Arrays) -> None:
    """Write the arrays of one device and their checksums.

    Raises:
        OSError: If the disk does not take it.
    """
    sums = []
    for name, slab in head.saved.items():
        array = np.ascontiguousarray(arrays[name], slab.dtype)
        sums.append(_put(descriptor, array, slab.of(device)[0]))
    slab = head.arrays[SUMS]
    _put(descriptor, np.array(sums, slab.dtype), slab.of(device)[0])


def read(path: Path) -> Head:
    """What a file says of itself.

    Raises:
        Damaged: If it is no checkpoint, or not a whole one.
    """
    try:
        with path.open("rb") as raw:
            found = FIRST.fullmatch(raw.readline(64))
            if found is None:
                raise Damaged("is no checkpoint")
            version, told, length = int(found[1]), int(found[2], 16), int(found[3])
            if version != VERSION:
                raise Damaged(f"is of layout {version}; this version reads {VERSION}")
            text, size = raw.read(length), os.fstat(raw.fileno()).st_size
    except OSError as error:
        raise Damaged(f"cannot be read: {error.strerror}") from None
    if len(text) != length or zlib.crc32(text) != told:
        raise Damaged("has a damaged head")
    try:
        head = Head.model_validate_json(text)
    except ValidationError:
        raise Damaged("has a head that makes no sense") from None
    if size != head.size:
        raise Damaged(f"has {size:,} bytes instead of {head.size:,}")
    sums = head.arrays.get(SUMS)
    count = len(head.arrays) - 1
    if sums is None or (sums.shape, sums.dtype, sums.lengths) != ([count], "<u4", []):
        raise Damaged("has no checksums")
    for name, slab in head.arrays.items():
        uneven = len(slab.lengths) not in (0, head.devices)
        if uneven or any(n < 0 for n in slab.shape) or slab.end(head.devices) > size:
            raise Damaged(f"has no room for {name}")
    return head


def load(path: Path, head: Head, devices: Iterable[int], only: str = "") -> list[dict[str, Array]]:
    """The arrays of some devices, or only one of them.

    Raises:
        Damaged: If they are not those that were written.
    """
    wanted = {name: slab for name, slab in head.saved.items() if only in ("", name)}
    places = [at for at, name in enumerate(head.saved) if name in wanted]
    loaded = []
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            for device in devices:
                sums = _get(descriptor, head.arrays[SUMS], device)[places].tolist()
                arrays = {name: _get(descriptor, slab, device) for name, slab in wanted.items()}
                for (name, array), told in zip(arrays.items(), sums, strict=True):
                    if zlib.crc32(_bytes(array)) != told:
                        raise Damaged(f"has a damaged {name} of device {device}")
                loaded.append(arrays)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Damaged(f"cannot be read: {error.strerror}") from None
    except (ValueError, OverflowError):
        # An array without elements may claim any shape.
        raise Damaged("has arrays of shapes that cannot be") from None
    return loaded


def _bytes(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _put(descriptor: int, array: Array, start: int) -> int:
    """Write an array, and let the disk begin with each piece of it; its checksum."""
    left, sum_ = _bytes(array), 0
    while left:
        written = os.pwrite(descriptor, left[:PIECE], start)
        sum_ = zlib.crc32(left[:written], sum_)
        os.posix_fadvise(descriptor, start, written, os.POSIX_FADV_DONTNEED)
        left, start = left[written:], start + written
    return sum_


def _get(descriptor: int, slab: Slab, device: int) -> Array:
    start, shape = slab.of(device)
    array: Array = np.empty(shape, slab.dtype)
    left = _bytes(array)
    while left:
        count = os.preadv(descriptor, [left], start)
        if not count:
            raise Damaged("has an end before its end")
        left, start = left[count:], start + count
    return array
