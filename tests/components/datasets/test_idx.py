"""The IDX reader: right files read exactly, damaged ones told in one sentence."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidl.components.datasets import idx
from mpidl.config.faults import Fault


def encode(array: np.ndarray) -> bytes:
    sizes = b"".join(extent.to_bytes(4, "big") for extent in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


IMAGES = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
WHOLE = encode(IMAGES)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_file_is_read_exactly_plain_or_gzipped_whatever_its_name(tmp_path, pack):
    for name in ("images", "images.gz"):
        path = tmp_path / name
        path.write_bytes(pack(WHOLE))
        np.testing.assert_array_equal(idx.read(path, 3), IMAGES)


DAMAGED = {
    "empty": (b"", "begins with nothing"),
    "other format": (b"<html></html>", "begins with 0x3c68746d"),
    "labels for images": (encode(np.arange(5)), "begins with 0x00000801, not 0x00000803"),
    "cut in the header": (WHOLE[:10], "truncated within its header"),
    "cut in the data": (WHOLE[:-1], "promises 2 x 3 x 3 bytes, more than it has|is truncated"),
    "too long": (WHOLE + b"\0", "data goes on after"),
    "no images": (encode(np.empty((0, 3, 3))), "holds no data"),
    "gzip cut": (gzip.compress(WHOLE)[:-9], "is a damaged gzip file"),
    "gzip corrupt": (gzip.compress(WHOLE)[:10] + b"\xff" * 20, "is a damaged gzip file"),
    "gzip checksum": (gzip.compress(WHOLE)[:-8] + bytes(8), "is a damaged gzip file"),
    "gzip of less": (gzip.compress(WHOLE[:-1]), "17 bytes of data where 2 x 3 x 3 are promised"),
    "gzip of more": (gzip.compress(WHOLE + b"\0"), "data goes on after"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_one_sentence_that_names_it(tmp_path, case):
    data, sentence = DAMAGED[case]
    path = tmp_path / "images"
    path.write_bytes(data)
    with pytest.raises(Fault, match=sentence) as fault:
        idx.read(path, 3)
    assert len(fault.value.sentences) == 1
    assert str(path) in str(fault.value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_header_that_promises_a_billion_images_allocates_nothing(tmp_path, pack):
    path = tmp_path / "images"
    path.write_bytes(pack(bytes([0, 0, 8, 3]) + b"\xff\xff\xff\xff" * 3))
    with pytest.raises(Fault, match="4294967295 x 4294967295 x 4294967295 bytes, more than"):
        idx.read(path, 3)


def test_a_folder_in_place_of_a_file_is_a_fault(tmp_path):
    with pytest.raises(Fault, match=r"Cannot read .*Is a directory"):
        idx.read(tmp_path, 3)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx") / "file"


def header(sizes: list[int]) -> bytes:
    return bytes([0, 0, 8, len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes)


PLAIN = st.binary(max_size=64) | st.builds(
    lambda sizes, data: header(sizes) + data,
    st.lists(st.integers(0, 4) | st.integers(0, 2**32 - 1), min_size=3, max_size=3),
    st.binary(max_size=80),
)
PACKED = PLAIN.map(gzip.compress) | st.builds(
    lambda data, place, byte: bytes([*data[:place], byte, *data[place + 1 :]]),
    PLAIN.map(gzip.compress),
    st.integers(2, 80),
    st.integers(0, 255),
)


@given(data=PLAIN | PACKED | st.binary(max_size=64).map(lambda data: idx.GZIP + data))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_an_array_or_a_fault(scratch, data):
    scratch.write_bytes(data)
    try:
        array = idx.read(scratch, 3)
    except Fault as fault:
        assert len(fault.sentences) == 1  # noqa: PT017
    else:
        assert array.ndim == 3
        assert array.dtype == np.uint8
        assert array.size > 0


def test_images_and_labels_must_agree(tmp_path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(WHOLE)
    labels.write_bytes(encode(np.array([1, 2, 0])))
    with pytest.raises(Fault, match="has 3 labels for the 2 images"):
        idx.samples(images, labels, 3, 10)
    labels.write_bytes(encode(np.array([1, 10])))
    with pytest.raises(Fault, match="has the label 10; labels are 0 to 9"):
        idx.samples(images, labels, 3, 10)
    with pytest.raises(Fault, match="images of 3 x 3 pixels, not 28 x 28"):
        idx.samples(images, labels, 28, 10)
    labels.write_bytes(encode(np.array([1, 9])))
    pixels, numbers = idx.samples(images, labels, 3, 10)
    assert pixels.shape == (2, 3, 3)
    assert numbers.tolist() == [1, 9]
    assert numbers.dtype == np.int64
