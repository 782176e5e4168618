"""The data sets that need no files, and cutting smaller ones."""

import gzip
import hashlib
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mpidl.components.datasets import DATASETS, Dataset, content, subset
from mpidl.components.datasets.sources import Source
from mpidl.config.faults import Fault

OF_ONES_OWN = {name for name in DATASETS if DATASETS.properties(name).look is not None}
GENERATED = sorted(set(DATASETS) - set(DATASETS.stored()) - OF_ONES_OWN)


@pytest.mark.parametrize("name", GENERATED)
def test_a_data_set_keeps_the_contract(name):
    data = DATASETS[name](None, 0)
    assert data.name == name
    assert data.train_inputs.shape[1:] == data.test_inputs.shape[1:] == data.shape
    for inputs, labels in (
        (data.train_inputs, data.train_labels),
        (data.test_inputs, data.test_labels),
    ):
        assert len(inputs) == len(labels)
        assert inputs.flags.c_contiguous
        assert labels.dtype == np.int64
        assert set(labels.tolist()) == set(range(len(data.classes)))
        if data.vocabulary:
            assert inputs.dtype == np.uint8
            assert inputs.max() < data.vocabulary
        else:
            assert inputs.dtype == np.float32
            assert (inputs.min(), inputs.max()) == data.span


@pytest.mark.parametrize("name", GENERATED)
def test_the_split_does_not_depend_on_the_seed(name):
    one, two = (DATASETS[name](None, seed) for seed in (0, 1))
    np.testing.assert_array_equal(one.train_inputs, two.train_inputs)
    np.testing.assert_array_equal(one.test_labels, two.test_labels)


def test_digits_are_the_1797_of_uci():
    data = DATASETS["digits"](None, 0)
    assert data.train_inputs.shape == (1437, 1, 8, 8)
    assert data.test_inputs.shape == (360, 1, 8, 8)
    assert np.bincount(data.test_labels).tolist() == [36, 36, 36, 36, 37, 36, 36, 36, 35, 36]
    counts = np.bincount(np.concatenate([data.train_labels, data.test_labels]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    # The first digit of scikit-learn's list, a zero, is the first of its class: a test sample.
    row = (data.test_inputs[0, 0, 0] * 16).tolist()
    assert row == [0, 0, 5, 13, 9, 1, 0, 0]
    pixels = np.concatenate([data.train_inputs, data.test_inputs]) * 16
    assert pixels.sum() == 561_718


def test_no_digit_is_in_both_parts_of_the_split():
    data = DATASETS["digits"](None, 0)
    train = {image.tobytes() for image in data.train_inputs}
    assert not any(image.tobytes() in train for image in data.test_inputs)


def test_subset_keeps_the_share_of_each_class():
    data = DATASETS["digits"](None, 0)
    small = subset(data, 500, 50, 3)
    assert len(small.train_inputs) == len(small.train_labels) == 500
    assert len(small.test_inputs) == 50
    quota = np.bincount(data.train_labels) * 500 / 1437
    assert (np.abs(np.bincount(small.train_labels) - quota) < 1).all()
    kept = {image.tobytes() for image in data.train_inputs}
    assert all(image.tobytes() in kept for image in small.train_inputs)
    assert len({image.tobytes() for image in small.train_inputs}) == 500


def test_subset_is_seeded_and_none_or_all_keep_everything():
    data = DATASETS["digits"](None, 0)
    one, again, other = (subset(data, 40, 7, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.train_inputs, again.train_inputs)
    assert (one.train_inputs != other.train_inputs).any()
    whole = subset(data, None, 360, 0)
    assert whole.train_inputs is data.train_inputs
    assert whole.test_inputs is data.test_inputs
    assert len(subset(data, 1, 1, 0).train_labels) == 1


@pytest.mark.parametrize(("train", "test"), [(1438, None), (None, 361), (0, None), (None, -1)])
def test_a_subset_larger_than_the_data_set_is_a_fault(train, test):
    with pytest.raises(Fault, match=r"data\.(train|test)_samples = .*ask for 1 to (1437|360)\."):
        subset(DATASETS["digits"](None, 0), train, test, 0)


def test_importing_the_room_loads_nothing_heavy():
    heavy = [
        "torch",
        "scipy",
        "pandas",
        "pooch",
        "networkx",
        "requests",
        "pyarrow",
        "PIL",
        "datasets",
    ]
    code = "import sys, mpidl.components.datasets, mpidl.components.ood; "
    code += f"print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def few(**other):
    """A data set of two images of 2 x 2 pixels, and what is wrong with it."""
    inputs, labels = np.zeros((2, 1, 2, 2), np.float32), np.arange(2)
    told = {"train_inputs": inputs, "train_labels": labels, "classes": ("a", "b")}
    return Dataset("mine", **{"test_inputs": inputs, "test_labels": labels, **told, **other})


FAULTY = {
    "float64": ({"train_inputs": np.zeros((2, 1, 2, 2))}, "train_inputs are float64; .* float32"),
    "list": ({"test_inputs": [[1.0]]}, "test_inputs are list; images must be a NumPy array"),
    "no sample": ({"test_inputs": np.zeros((0, 4), "f4")}, "must be at least one sample"),
    "int32": ({"test_labels": np.arange(2, dtype="i4")}, "test_labels are int32; .* int64"),
    "large": ({"train_labels": np.array([0, 2])}, "have the label 2; labels are 0 to 1"),
    "negative": ({"train_labels": np.array([-1, 0])}, "have the label -1; labels are 0 to 1"),
    "few": ({"train_labels": np.zeros(1, int)}, r"shape \(1,\): 2 samples need \(2,\)"),
    "shape": ({"test_inputs": np.zeros((2, 4), "f4")}, "test samples have the shape"),
    "classes": ({"classes": (0, 1)}, "classes must be names"),
    "tokens": ({"vocabulary": 3}, "train_inputs are float32; tokens must be .* uint8"),
    "token": (
        {"train_inputs": np.full((2, 4), 9, "u1"), "vocabulary": 9},
        "have the token 9; tokens are 0 to 8",
    ),
    "task": ({"task": "next_token"}, "needs a vocabulary"),
    "regression": ({"task": "regression"}, r"has no classes, not \('a', 'b'\)"),
    "numbers": ({"task": "regression", "classes": ()}, "train_labels are int64; .* float32"),
    "infinite": (
        {"task": "regression", "classes": (), "train_labels": np.float32([1, np.inf])},
        "train_labels have the number inf; they must be finite",
    ),
    "outputs": (
        {
            **{"task": "regression", "classes": (), "train_labels": np.zeros((2, 3), "f4")},
            "test_labels": np.zeros(2, "f4"),
        },
        "must have as many numbers for a sample",
    ),
}


@pytest.mark.parametrize("case", FAULTY)
def test_a_data_set_that_no_model_can_learn_is_a_fault(monkeypatch, case):
    wrong, sentence = FAULTY[case]
    monkeypatch.setitem(DATASETS, "mine", lambda folder, seed, /: few(**wrong))
    with pytest.raises(Fault, match=f"data.name = 'mine': .*{sentence}"):
        DATASETS.build(SimpleNamespace(name="mine"), None, 0)


def test_a_data_set_of_ones_own_is_built(monkeypatch):
    monkeypatch.setitem(DATASETS, "mine", lambda folder, seed, /: few())
    assert DATASETS.build(SimpleNamespace(name="mine"), None, 0).classes == ("a", "b")
    monkeypatch.setitem(DATASETS, "mine", lambda folder, seed, /: None)
    with pytest.raises(Fault, match=r"must give a Dataset, .*, not None"):
        DATASETS.build(SimpleNamespace(name="mine"), None, 0)


@pytest.mark.parametrize(("shape", "outputs"), [((2,), 1), ((2, 1), 1), ((2, 3), 3)], ids=str)
def test_targets_of_regression_are_numbers(monkeypatch, shape, outputs):
    numbers = np.zeros(shape, np.float32)
    told = {"task": "regression", "classes": (), "train_labels": numbers, "test_labels": numbers}
    monkeypatch.setitem(DATASETS, "mine", lambda folder, seed, /: few(**told))
    built = DATASETS.build(SimpleNamespace(name="mine"), None, 0)
    assert built.outputs == outputs
    assert subset(built, 1, None, 0).train_labels.shape == (1, *shape[1:])


@pytest.mark.parametrize("name", GENERATED)
def test_what_comes_with_the_program_is_as_published(name):
    assert content(DATASETS[name](None, 0), name, None).published == "yes"


def test_a_digest_is_that_of_all_arrays_in_any_layout():
    one = few()
    turned = few(
        train_inputs=np.asfortranarray(one.train_inputs), test_labels=np.arange(4)[::2] // 2
    )
    assert content(turned, "mine", None).digest == content(one, "mine", None).digest
    parts = ("train_inputs", "train_labels", "test_inputs", "test_labels")
    digests = {content(one, "mine", None).digest}
    for part in parts:
        changed = getattr(one, part).copy()
        changed[0] += 1
        digests.add(content(few(**{part: changed}), "mine", None).digest)
    assert len(digests) == 1 + len(parts)
    assert content(one, "mine", None).published == "unknown"
    assert content(one, "digits", None).published == "no"


def test_data_under_another_name_are_recognized():
    found = content(DATASETS["digits"](None, 0), "mnist", None)
    assert (found.published, found.other) == ("no", "digits")


@pytest.mark.parametrize(
    ("known", "there", "verdict"),
    [
        (b"x", b"x", "yes"),
        (b"x", gzip.compress(b"x", mtime=0), "yes"),
        (b"x", b"y", "no"),
        (None, gzip.compress(b"x", mtime=0), "yes"),
        (None, b"x", "unknown"),
        (None, gzip.compress(b"y", mtime=0), "unknown"),
        (b"x", None, "unknown"),
    ],
    ids=["plain", "packed", "other", "packed as known", "unpacked", "packed other", "none"],
)
def test_without_a_digest_of_arrays_files_are_looked_at(tmp_path, declare, known, there, verdict):
    packed = hashlib.sha256(gzip.compress(b"x", mtime=0)).hexdigest()
    plain = "" if known is None else hashlib.sha256(known).hexdigest()
    declare("kmnist", sources=(Source("a.gz", (), packed, {"a": plain}),))
    if there is not None:
        (tmp_path / "a").write_bytes(there)
    assert content(few(), "kmnist", tmp_path).published == verdict
