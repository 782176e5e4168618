"""Untrusted texts: the only part of the structure of a results file without a checksum.

HDF5 keeps texts of variable length in collections, its global heap, and trusts the sizes in them:
over a damaged one it crashes, or never ends. So they are checked before HDF5 reads them. The rest
of the structure that mpidl writes has checksums, which HDF5 compares.

Source: HDF5 File Format Specification 3.0, sections II.A, III.E and VIII (variable length).
"""

import io
import struct
from typing import BinaryIO

SIGNATURE = b"\x89HDF\r\n\x1a\n"
COLLECTION = b"GCOL\x01"

HEAD = 2**20
"""Bytes at the start of a file that contain the collections of its attributes."""

LEAST = 4096
"""Size of the smallest collection."""

TEXTS = 2**26
"""Most bytes that the texts of one data set may have together."""


def has_checksums(file: BinaryIO) -> bool:
    """Whether an HDF5 file has the version that mpidl writes, whose structure has checksums."""
    file.seek(0)
    start = file.read(11)
    return start[:8] == SIGNATURE and start[8:9] == b"\2" and start[9:] == b"\x08\x08"


def stated_size(file: BinaryIO) -> int:
    """The size in bytes that is written in the head of such a file."""
    file.seek(28)
    return int.from_bytes(file.read(8), "little")


def check(file: BinaryIO) -> None:
    """Check the collections at the start of a file.

    Raises:
        ValueError: If one of them is damaged.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(HEAD)
    at = head.find(COLLECTION)
    while at >= 0:
        start = head[at : at + 16].ljust(16, b"\0")
        # Numbers of a series may equal the first five bytes of a collection, but hardly all.
        if start[5:8] == bytes(3) or LEAST <= int.from_bytes(start[8:], "little") <= size - at:
            _objects(file, at)
        at = head.find(COLLECTION, at + 1)


def texts(file: BinaryIO, at: int, count: int) -> list[str]:
    """The texts of a data set of variable-length strings.

    Args:
        file: The results file.
        at: Byte at which the data set's references begin.
        count: Number of references.

    Raises:
        ValueError: If a reference is wrong, or the texts are too long.
    """
    file.seek(at)
    references = file.read(16 * count)
    collections: dict[int, dict[int, tuple[int, int]]] = {}
    values: list[str] = []
    room = TEXTS
    for length, address, index in struct.iter_unpack("<IQI", references):
        room -= length
        if not length:
            values.append("")
            continue
        if address not in collections:
            collections[address] = _objects(file, address)
        begin, size = collections[address].get(index, (0, -1))
        if length > size or room < 0:
            raise ValueError(f"a text of {length} bytes is missing")
        file.seek(begin)
        values.append(file.read(length).rstrip(b"\0").decode())
    if len(values) < count:
        raise ValueError("texts are missing")
    return values


def _objects(file: BinaryIO, address: int) -> dict[int, tuple[int, int]]:
    """The first byte and the size of each object in a collection, by index."""
    end_of_file = file.seek(0, io.SEEK_END)
    if not 0 <= address <= end_of_file - 16:
        raise ValueError(f"there is no collection of texts at byte {address}")
    file.seek(address)
    start = file.read(16)
    size = int.from_bytes(start[8:], "little")
    if not start.startswith(COLLECTION) or not LEAST <= size <= end_of_file - address:
        raise ValueError(f"the collection of texts at byte {address} is damaged")
    place, end = address + 16, address + size
    objects: dict[int, tuple[int, int]] = {}
    while place <= end - 16:
        file.seek(place)
        index, _, length = struct.unpack("<HH4xQ", file.read(16))
        # Index 0 is free space, whose length counts its own sixteen bytes.
        step = 16 + (length + 7) // 8 * 8 if index else length
        if not 16 <= step <= end - place or index in objects:
            raise ValueError(f"the collection of texts at byte {address} is damaged")
        if index:
            objects[index] = place + 16, length
        place += step
    return objects
