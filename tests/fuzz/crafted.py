"""Results files of right structure and wrong contents, made from bytes of a fuzzer."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import atheris
import h5py
import numpy as np

from mpidl.storage import schema

GOLDEN = Path(__file__).parent.parent / "golden" / "schema-1.h5"
PLACES = [
    *(schema.ROUNDS_DONE, schema.COMPLETED, "series", "graph", "placement"),
    *(f"{group}/{name}" for group, layouts in schema.GROUPS.items() for name in layouts),
    *(f"{group}/{name}" for group in schema.GROUPS for name in ("device", "class", "round")),
]
TYPES = ["f8", "f4", "i8", "u8", "i1", "?", "c16", "S3", "V5", ">f8", "f2", "O", "r", "e", "a", "z"]
KINDS = {
    "O": h5py.string_dtype(),
    "r": h5py.ref_dtype,
    "e": h5py.enum_dtype({"a": 1}),
    "a": np.dtype(("f8", (3,))),
    "z": np.dtype([("a", "f8"), ("b", "S2")]),
}
EXTENTS = [0, 1, 2, 3, 4, 5, 10, 33, 2**20, 2**40]
NUMBERS = [
    *(0, 1, -1, 3, 2**31, 2**63 - 1, -(2**63), 10**400),
    *(-0.5, 1e308, float("nan"), float("inf")),
]

REFUSED = (
    ValueError,
    TypeError,
    LookupError,
    OSError,
    RuntimeError,
    ArithmeticError,
    AttributeError,
)
"""What h5py says to changes that cannot be made."""


def seeds() -> Iterator[bytes]:
    """Inputs to begin with."""
    yield from (bytes([kind] * 40) for kind in range(8))


def write(path: Path, content: bytes) -> None:
    """Change a good file as the bytes say."""
    said = atheris.FuzzedDataProvider(content)
    shutil.copy(GOLDEN, path)
    # A link may lead to another file, which is then changed in place of this one.
    shutil.copy(GOLDEN, path.with_name("other.h5"))
    with h5py.File(path, "r+") as file:
        for _ in range(said.ConsumeIntInRange(1, 3)):
            with suppress(*REFUSED):
                _change(file, said)


def _change(file: h5py.File, said: atheris.FuzzedDataProvider) -> None:
    match said.ConsumeIntInRange(0, 6):
        case 0:
            _attribute(file, said)
        case 1:
            _run_file(file, said)
        case 2:
            del file[said.PickValueInList(PLACES)]
        case 3:
            place = said.PickValueInList(PLACES)
            file.pop(place, None)
            links = [h5py.SoftLink("/graph/W"), h5py.ExternalLink("other.h5", "/graph/W")]
            file[place] = said.PickValueInList(links)
        case 4:
            place = said.PickValueInList(PLACES)
            if place in file and isinstance(file[place], h5py.Dataset):
                stored = file[place]
                at = tuple(said.ConsumeIntInRange(0, extent - 1) for extent in stored.shape)
                stored[at] = said.PickValueInList(NUMBERS)
        case _:
            _replace(file, said)


def _attribute(file: h5py.File, said: atheris.FuzzedDataProvider) -> None:
    key = said.PickValueInList(["schema", "run_file", "mpidl", "hosts", "started", "ranks", "x"])
    value = [
        said.PickValueInList(NUMBERS),
        said.ConsumeUnicode(20),
        said.ConsumeBytes(20),
        np.zeros(said.ConsumeIntInRange(0, 9)),
        h5py.Empty("f8"),
        np.void(b"abc"),
        True,
    ]
    file.attrs[key] = said.PickValueInList(value)


def _run_file(file: h5py.File, said: atheris.FuzzedDataProvider) -> None:
    """Another value of one of its settings."""
    lines = str(file.attrs["run_file"]).splitlines()
    where = [number for number, line in enumerate(lines) if "=" in line]
    at = said.PickValueInList(where)
    values = [
        *("0", "-1", "true", '""', "[]", "{}", "nan", "inf", "9" * 400, "1e400", "2020-01-01"),
        *('"a\\nb"', '"<script>"', '"$x$"', '"\\u001b[2J"', f'"{"x" * 500}"', "[1, [2]]"),
        repr(said.ConsumeFloat()),
        str(said.ConsumeInt(8)),
    ]
    lines[at] = f"{lines[at].partition('=')[0]}= {said.PickValueInList(values)}"
    file.attrs["run_file"] = "\n".join(lines)


def _replace(file: h5py.File, said: atheris.FuzzedDataProvider) -> None:
    place = said.PickValueInList(PLACES)
    file.pop(place, None)
    rank = said.ConsumeIntInRange(0, 3)
    shape = tuple(said.PickValueInList(EXTENTS) for _ in range(rank))
    name = said.PickValueInList(TYPES)
    how = {}
    if said.ConsumeBool() and rank:
        how["chunks"] = tuple(min(extent, 64) or 1 for extent in shape)
        how["compression"] = said.PickValueInList([None, "gzip"])
    elif np.prod(shape, dtype=object) > 10**6:
        dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        dcpl.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
        how["dcpl"] = dcpl
    file.create_dataset(place, shape, KINDS.get(name, name), **how)
