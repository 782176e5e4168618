"""The data sets that need no files, and cutting smaller ones."""

import subprocess
import sys

import numpy as np
import pytest

from mpidl.datasets import DATASETS, subset
from mpidl.datasets.sources import SOURCES
from mpidl.faults import Fault

GENERATED = sorted(set(DATASETS) - set(SOURCES))


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
    heavy = ["torch", "scipy", "pandas", "pooch", "networkx", "requests"]
    code = f"import sys, mpidl.datasets, mpidl.ood; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
