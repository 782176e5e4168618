"""MNIST, its like, and CIFAR from small files made here."""

import gzip
from types import SimpleNamespace

import numpy as np
import pytest

from mpidl.components.datasets import DATASETS
from mpidl.components.datasets.files import require
from mpidl.config.faults import Fault


def write_mnist(folder, train=20, test=10, suffix=".gz"):
    for prefix, count in (("train", train), ("t10k", test)):
        pixels = (np.arange(count * 784) % 256).astype(np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        size = count.to_bytes(4, "big")
        side = (28).to_bytes(4, "big")
        pack = gzip.compress if suffix else bytes
        (folder / f"{prefix}-images-idx3-ubyte{suffix}").write_bytes(
            pack(b"\0\0\x08\x03" + size + side + side + pixels.tobytes())
        )
        (folder / f"{prefix}-labels-idx1-ubyte{suffix}").write_bytes(
            pack(b"\0\0\x08\x01" + size + labels.tobytes())
        )


def cifar_bytes(count, classes, first=0):
    rng = np.random.default_rng(first)
    table = rng.integers(256, size=(count, 3072 + (2 if classes == 100 else 1)), dtype=np.uint8)
    table[:, 0] = 0
    table[:, 1 if classes == 100 else 0] = (first + np.arange(count)) % classes
    return table


def write_cifar(folder, name, nested=True):
    classes = 100 if name == "cifar100" else 10
    tables = {}
    for number, content in enumerate(DATASETS.properties(name).sources[0].contents):
        table = cifar_bytes(4, classes, number * 4)
        path = folder / content if nested else folder / content.split("/")[1]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(table.tobytes())
        tables[path] = table
    return tables


@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist"])
def test_mnist_becomes_zero_to_one(tmp_path, name, suffix):
    write_mnist(tmp_path, suffix=suffix)
    data = DATASETS[name](tmp_path, 0)
    assert data.train_inputs.shape == (20, 1, 28, 28)
    assert data.test_inputs.shape == (10, 1, 28, 28)
    assert data.train_inputs.dtype == np.float32
    assert data.train_inputs.ravel()[:256].tolist() == [
        float(np.float32(value) / np.float32(255)) for value in range(256)
    ]
    assert data.train_labels.tolist() == [*range(10)] * 2
    assert len(data.classes) == 10
    assert data.span == (0.0, 1.0)


LAYOUTS = {
    "torchvision": lambda part, kind: f"MNIST/raw/{part}-{kind}-ubyte",
    "torchvision, within": lambda part, kind: f"raw/{part}-{kind}-ubyte.gz",
    "Kaggle": lambda part, kind: f"{part}-{kind.replace('-', '.')}-ubyte",
    "Kaggle, in folders": lambda part, kind: f"{part}-{kind}-ubyte/{part}-{kind}-ubyte",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_mnist_is_found_as_others_lay_it_out(tmp_path, layout):
    write_mnist(tmp_path)
    want = DATASETS["mnist"](tmp_path, 0)
    for part in ("train", "t10k"):
        for kind, last in (("images", "idx3"), ("labels", "idx1")):
            old = tmp_path / f"{part}-{kind}-{last}-ubyte.gz"
            new = tmp_path / "new" / LAYOUTS[layout](f"{part}-{kind}", last).replace("--", "-")
            new.parent.mkdir(parents=True, exist_ok=True)
            old.rename(new)
    found = DATASETS["mnist"](tmp_path / "new", 0)
    np.testing.assert_array_equal(found.train_inputs, want.train_inputs)
    np.testing.assert_array_equal(found.test_labels, want.test_labels)


def write_emnist(folder, split, labels):
    count = len(labels)
    size, side = count.to_bytes(4, "big"), (28).to_bytes(4, "big")
    # On their side: the first column of a published image is its first row as one sees it.
    image = np.zeros((28, 28), np.uint8)
    image[:, 0] = 255
    for part in ("train", "test"):
        (folder / f"emnist-{split}-{part}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(b"\0\0\x08\x03" + size + side + side + image.tobytes() * count)
        )
        (folder / f"emnist-{split}-{part}-labels-idx1-ubyte").write_bytes(
            b"\0\0\x08\x01" + size + bytes(labels)
        )


@pytest.mark.parametrize("folder", ["", "gzip", "EMNIST/raw"])
def test_emnist_is_set_upright(tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    write_emnist(tmp_path / folder, "balanced", [0, 10, 46])
    data = DATASETS["emnist"](tmp_path, 0)
    assert data.train_inputs.shape == (3, 1, 28, 28)
    assert data.train_inputs[0, 0, 0].tolist() == [1.0] * 28
    assert data.train_inputs.sum() == 3 * 28
    assert [data.classes[label] for label in data.test_labels] == ["0", "A", "t"]
    assert len(data.classes) == 47


def test_letters_of_emnist_count_from_one_in_its_files(tmp_path):
    write_emnist(tmp_path, "letters", [1, 26])
    assert DATASETS["emnist"](tmp_path, 0, split="letters").train_labels.tolist() == [0, 25]
    write_emnist(tmp_path, "letters", [0, 26])
    with pytest.raises(Fault, match=r"has the label 0; labels are 1 to 26\."):
        DATASETS["emnist"](tmp_path, 0, split="letters")


def test_only_the_files_of_the_split_are_looked_for(tmp_path):
    write_emnist(tmp_path, "digits", [0, 9])
    require("emnist", tmp_path, SimpleNamespace(split="digits"))
    with pytest.raises(Fault, match="emnist-letters-train-images"):
        require("emnist", tmp_path, SimpleNamespace(split="letters"))


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize(("name", "train"), [("cifar10", 20), ("cifar100", 4)])
def test_cifar_becomes_minus_one_to_one(tmp_path, name, train, nested):
    tables = list(write_cifar(tmp_path, name, nested).values())
    data = DATASETS[name](tmp_path, 0)
    assert data.train_inputs.shape == (train, 3, 32, 32)
    assert data.train_inputs.dtype == np.float32
    assert data.train_labels.tolist() == [index % len(data.classes) for index in range(train)]
    pixels = tables[0][:, -3072:].astype(np.float32).reshape(4, 3, 32, 32)
    np.testing.assert_array_equal(data.train_inputs[:4], (pixels / 255 - 0.5) / 0.5)
    np.testing.assert_array_equal(
        data.test_inputs.reshape(4, -1), (tables[-1][:, -3072:].astype("f4") / 255 - 0.5) / 0.5
    )
    assert data.span == (-1.0, 1.0)


def test_cifar100_has_a_hundred_fine_classes(tmp_path):
    write_cifar(tmp_path, "cifar100")
    classes = DATASETS["cifar100"](tmp_path, 0).classes
    assert len(set(classes)) == 100
    assert list(classes) == sorted(classes)


@pytest.mark.parametrize("name", DATASETS.stored())
def test_no_folder_says_that_data_dir_must_be_set(name):
    with pytest.raises(
        Fault, match=r"^data\.dir must be set: .* is read from .* in that folder\.$"
    ):
        DATASETS[name](None, 0)


@pytest.mark.parametrize("name", DATASETS.stored())
def test_a_missing_file_is_named_with_its_place(tmp_path, name):
    source = DATASETS.properties(name).sources[0]
    missing = tmp_path / source.places(next(iter(source.contents)))[0]
    with pytest.raises(Fault) as fault:
        DATASETS[name](tmp_path, 0)
    assert str(missing) in str(fault.value)
    assert f"fetch {name} --to {tmp_path}" in str(fault.value)
    assert len(fault.value.sentences) == 1


def test_a_cifar_file_that_is_cut_or_has_a_wrong_label_is_a_fault(tmp_path):
    path, table = list(write_cifar(tmp_path, "cifar10").items())[2]
    path.write_bytes(table.tobytes()[:-1])
    with pytest.raises(Fault, match=r"data_batch_3.bin is truncated .* 12291 bytes .* 3073-byte"):
        DATASETS["cifar10"](tmp_path, 0)
    path.write_bytes(b"")
    with pytest.raises(Fault, match=r"data_batch_3.bin is truncated .* 0 bytes"):
        DATASETS["cifar10"](tmp_path, 0)
    table[1, 0] = 10
    path.write_bytes(table.tobytes())
    with pytest.raises(Fault, match=r"data_batch_3.bin has the label 10; labels are 0 to 9"):
        DATASETS["cifar10"](tmp_path, 0)


PICKLED = {
    "cifar10": ["cifar-10-batches-py/data_batch_1", "data_batch_1", "cifar-10-python.tar.gz"],
    "cifar100": ["cifar-100-python/train", "train", "cifar-100-python.tar.gz"],
}


@pytest.mark.parametrize(("name", "left"), [(n, left) for n in PICKLED for left in PICKLED[n]])
def test_pickles_of_cifar_are_refused_with_what_to_fetch(tmp_path, name, left):
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).write_bytes(b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.")
    fetch = rf"fetch {name} --to {tmp_path}' downloads {DATASETS.properties(name).sources[0].name}"
    with pytest.raises(Fault, match=f"as Python pickles, which are not read, .*{fetch}"):
        DATASETS[name](tmp_path, 0)


def test_the_python_version_of_cifar_is_refused_not_unpickled(tmp_path):
    tables = write_cifar(tmp_path, "cifar10")
    (next(iter(tables))).write_bytes(b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(Fault, match="not of the binary version"):
        DATASETS["cifar10"](tmp_path, 0)
