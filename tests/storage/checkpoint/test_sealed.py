"""The file of a checkpoint: what was written comes back, and nothing else ever does."""

import json
import os
import zlib

import h5py
import numpy as np
import pytest

from mpidl.storage.checkpoint import heads, sealed
from mpidl.storage.checkpoint.heads import Damaged, Story
from mpidl.storage.code_records import CodeRecord

STORY = Story(
    run_file="name = 'a'\n", origin={"graph": 7}, started="now", resumed=[3], mpidl="1", commit=""
)
DEVICES = 3


def state(device):
    draw = np.random.default_rng(device)
    return {
        "vector": draw.standard_normal(1000).astype(np.float32),
        "steps": np.array(device, np.int64),
        "rows": draw.standard_normal((4, 5)),
        "nothing": np.zeros(0, np.float32),
        "uneven": np.arange(5 * (device % 2), dtype=np.float32),
    }


@pytest.fixture
def path(tmp_path):
    """A whole checkpoint of three devices, written out of order."""
    path = tmp_path / "00000004.hdf5"
    head = sealed.lay_out(path, STORY, 4, [sealed.forms(state(d)) for d in range(DEVICES)])
    descriptor = os.open(path, os.O_WRONLY)
    for device in (2, 0, 1):
        sealed.write(descriptor, head, device, state(device))
    os.close(descriptor)
    return path


def loaded(path):
    return sealed.load(path, heads.read(path), range(DEVICES))


def test_what_was_written_comes_back(path):
    head = heads.read(path)
    assert (head.story, head.round, head.devices) == (STORY, 4, DEVICES)
    for device, arrays in enumerate(loaded(path)):
        for name, want in state(device).items():
            assert arrays[name].dtype == want.dtype
            np.testing.assert_array_equal(arrays[name], want)
    (only,) = sealed.load(path, head, [1], "rows")
    assert list(only) == ["rows"]
    np.testing.assert_array_equal(only["rows"], state(1)["rows"])


def test_it_is_an_hdf5_file_that_others_read(path):
    with h5py.File(path, "r") as file:
        assert file.attrs["round"] == 4
        assert file.attrs["run_file"] == STORY.run_file
        for device in range(DEVICES):
            np.testing.assert_array_equal(file["vector"][device], state(device)["vector"])


def test_a_long_story_has_room(tmp_path):
    long = STORY.model_copy(update={"run_file": "# é\n" * 5000})
    head = sealed.lay_out(tmp_path / "a", long, 1, [sealed.forms(state(0))])
    assert heads.read(tmp_path / "a") == head
    assert head.story == long


def test_code_in_any_script_has_room(tmp_path):
    text = "# " + "図" * 9000
    own = CodeRecord(name="own.py", sha256="0" * 64, version="", text=text, round=0)
    story = STORY.model_copy(update={"code": [own]})
    head = sealed.lay_out(tmp_path / "a", story, 1, [sealed.forms(state(0))])
    assert heads.read(tmp_path / "a") == head
    with h5py.File(tmp_path / "a", "r") as file:
        assert file.attrs["round"] == 1


def test_any_flipped_bit_of_what_is_read_is_found(path):
    """Bits of HDF5's own structure and of its padding are not read here."""
    whole, draw, found = path.read_bytes(), np.random.default_rng(0), 0
    want = loaded(path)
    for _ in range(300):
        at, bit = int(draw.integers(len(whole))), int(draw.integers(8))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        try:
            arrays = loaded(path)
        except Damaged:
            found += 1
            continue
        for mine, theirs in zip(want, arrays, strict=True):
            assert all(mine[name].tobytes() == theirs[name].tobytes() for name in mine)
    assert found > 40


def test_a_truncated_file_is_damaged_wherever_it_ends(path):
    whole = path.read_bytes()
    for length in [0, 1, 30, 200, 4096, 5000, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(Damaged):
            loaded(path)


def forge(path, **changes):
    """Give a file another head, with the right checksum."""
    whole = path.read_bytes()
    line, _, rest = whole.partition(b"\n")
    length = int(line.split()[-1])
    head = json.loads(rest[:length])
    for key, value in changes.items():
        where = head
        *parents, last = key.split("__")
        for parent in parents:
            where = where[parent]
        where[last] = value
    text = json.dumps(head).encode()
    first = f"mpidl checkpoint 2 {zlib.crc32(text):08x} {len(text)}\n".encode()
    path.write_bytes((first + text).ljust(4096, b"\0") + whole[4096:])


@pytest.mark.parametrize(
    "changes",
    [
        {"arrays__vector__shape": [10**12]},
        {"arrays__vector__shape": [-1, -1000]},
        {"arrays__vector__shape": [10**6] * 100},
        {"arrays__vector__start": -5},
        {"arrays__uneven__lengths": [0, 5]},
        {"arrays__uneven__lengths": [0, -5, 10]},
        {"arrays__uneven__lengths": [0, 10**30, 0]},
        {"arrays__checksums__lengths": [1, 1, 1]},
        {"arrays__vector__start": 10**18},
        {"arrays__vector__dtype": "O"},
        {"arrays__vector__dtype": "<f3"},
        {"arrays__vector__dtype": "<f1"},
        {"arrays__vector__shape": [0, 10**18, 10**18]},
        {"arrays__vector__shape": [0, 10**30]},
        {"arrays__checksums__shape": [1]},
        {"arrays": {}},
        {"devices": 10**12},
        {"devices": 0},
        {"round": "4"},
        {"size": 1},
        {"story": None},
        {"more": 1},
    ],
    ids=str,
)
def test_a_forged_head_is_damaged_and_costs_nothing(path, changes):
    forge(path, **changes)
    with pytest.raises(Damaged):
        loaded(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is not a checkpoint"),
        (b"\x89HDF\r\n\x1a\n" + bytes(5000), "is not a checkpoint"),
        (b"mpidl checkpoint 3 00000000 10\n" + bytes(10), "is of layout 3; this version reads 2"),
        (b"mpidl checkpoint 2 00000000 99999999\n{}", "has a damaged head"),
        (b"mpidl checkpoint 2 a3a6bf43 2\n{}", "has an invalid head"),
        (b"x" * 10**6, "is not a checkpoint"),
    ],
)
def test_a_foreign_file_is_told(tmp_path, content, why):
    path = tmp_path / "00000001.hdf5"
    path.write_bytes(content)
    with pytest.raises(Damaged, match=why):
        heads.read(path)
    with pytest.raises(Damaged, match="cannot be read: Is a directory"):
        heads.read(tmp_path)
    with pytest.raises(Damaged, match="cannot be read: No such file"):
        heads.read(tmp_path / "gone")
