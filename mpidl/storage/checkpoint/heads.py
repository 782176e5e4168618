"""Heads of checkpoint files: the description of the run, and the place of each array.

The head lies in HDF5's user block under a checksum of its own, and is read without HDF5.
"""

import os
import re
import zlib
from math import prod
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mpidl.storage.code_records import CodeRecord

VERSION = 2
"""Version of the file; another one is not read."""


FIRST = re.compile(rb"mpidl checkpoint ([0-9]{1,9}) ([0-9a-f]{8}) ([0-9]{1,8})\n")
"""The first line: version, checksum of the head, and the number of its bytes."""


SUMS = "checksums"
"""Name of the array with the checksums of a device's other arrays, in their order."""


class Damaged(Exception):  # noqa: N818
    """The reason why a file is not a complete checkpoint."""


class SampleShape(BaseModel):
    """Shape of a run's samples, from which its model can be made again.

    Attributes:
        inputs: Shape of one sample.
        outputs: Number of outputs of a model.
        vocabulary: Number of different tokens; 0 if samples are not tokens.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    inputs: list[int]
    outputs: int
    vocabulary: int


class Story(BaseModel):
    """Description of the run that a checkpoint belongs to.

    Attributes:
        run_file: The resolved run file, as TOML.
        origin: Checksums of graph and test sets, which are not in the run file.
        started: The moment when the run started.
        resumed: The rounds at which it was resumed.
        mpidl: The version of mpidl that wrote the checkpoint.
        commit: The commit in git, if there was one.
        code: The user's own code.
        samples: The shape of its samples; None if a version before this one wrote it.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    run_file: str
    origin: dict[str, int]
    started: str
    resumed: list[int]
    mpidl: str
    commit: str
    code: list[CodeRecord] = []
    samples: SampleShape | None = None


class Extent(BaseModel):
    """Extent of an array in the file: the arrays of all devices in C order, one after another.

    Attributes:
        start: First byte of the first device's array.
        shape: Shape of one device's array.
        dtype: Type of its numbers, as numpy writes it.
        lengths: Length of each device's array, where they differ; these have one dimension.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    start: int = Field(ge=0)
    shape: list[int] = Field(max_length=8)
    dtype: str = Field(pattern="^<[fiu][248]$")
    lengths: list[Annotated[int, Field(ge=0)]] = []

    def of(self, device: int) -> tuple[int, list[int]]:
        """The first byte of one device's array, and its shape."""
        itemsize = int(self.dtype[2:])
        if self.lengths:
            return self.start + sum(self.lengths[:device]) * itemsize, [self.lengths[device]]
        return self.start + device * prod(self.shape) * itemsize, self.shape

    def end(self, devices: int) -> int:
        """The byte behind the last device's array."""
        start, shape = self.of(devices - 1)
        return start + prod(shape) * int(self.dtype[2:])


class Head(BaseModel):
    """Head of a checkpoint.

    Attributes:
        story: Description of its run.
        round: Number of rounds done, r.
        devices: N.
        size: Bytes of the file.
        arrays: By name, the extents of all arrays of a device.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    story: Story
    round: int = Field(ge=1)
    devices: int = Field(ge=1)
    size: int
    arrays: dict[str, Extent]

    @property
    def saved(self) -> dict[str, Extent]:
        """All arrays except the checksums."""
        return {name: extent for name, extent in self.arrays.items() if name != SUMS}


def write(path: Path, head: Head) -> None:
    """Write the head into its block at the beginning of a file."""
    text = head.model_dump_json().encode()
    first = f"mpidl checkpoint {VERSION} {zlib.crc32(text):08x} {len(text)}\n".encode()
    with path.open("r+b") as raw:
        raw.write(first + text)


def read(path: Path) -> Head:
    """The head of a file.

    Raises:
        Damaged: If it is not a complete checkpoint.
    """
    try:
        with path.open("rb") as raw:
            first = FIRST.fullmatch(raw.readline(64))
            if first is None:
                raise Damaged("is not a checkpoint")
            version, checksum, length = int(first[1]), int(first[2], 16), int(first[3])
            if version != VERSION:
                raise Damaged(f"is of layout {version}; this version reads {VERSION}")
            text, size = raw.read(length), os.fstat(raw.fileno()).st_size
    except OSError as error:
        raise Damaged(f"cannot be read: {error.strerror}") from None
    if len(text) != length or zlib.crc32(text) != checksum:
        raise Damaged("has a damaged head")
    try:
        head = Head.model_validate_json(text)
    except ValidationError:
        raise Damaged("has an invalid head") from None
    if size != head.size:
        raise Damaged(f"has {size:,} bytes instead of {head.size:,}")
    sums = head.arrays.get(SUMS)
    count = len(head.arrays) - 1
    if sums is None or (sums.shape, sums.dtype, sums.lengths) != ([count], "<u4", []):
        raise Damaged("has no checksums")
    for name, extent in head.arrays.items():
        uneven = len(extent.lengths) not in (0, head.devices)
        if uneven or any(n < 0 for n in extent.shape) or extent.end(head.devices) > size:
            raise Damaged(f"has no room for {name}")
    return head
