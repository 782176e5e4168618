"""Forms in which a builder of one's own gives a data set."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import IterableDataset, TensorDataset

from mpidl.components.datasets import DATASETS
from mpidl.config.faults import Fault

X = np.random.default_rng(0).random((10, 3))
Y = np.arange(10) % 2


def accepted(monkeypatch, given):
    monkeypatch.setitem(DATASETS, "mine", lambda folder, seed, /: given)
    return DATASETS.build(SimpleNamespace(name="mine"), None, 0)


class Pictures(torch.utils.data.Dataset):
    """Pictures as pillow has them, and a torch Dataset with names of classes."""

    classes = ("odd", "even")

    def __init__(self, pixels):
        self.pixels = pixels

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, place):
        return self.pixels[place], int(Y[place])


class Noisy(Pictures):
    """A Dataset that adds noise, as augmentations do."""

    def __getitem__(self, place):
        return torch.rand(1, 2, 2), 1


FORMS = {
    "arrays": (X, Y, X[:4], Y[:4]),
    "list": [X, Y, X[:4], Y[:4]],
    "tensors": tuple(map(torch.tensor, (X, Y, X[:4], Y[:4]))),
    "names": {"x": X, "y": Y, "x_test": X[:4], "y_test": Y[:4]},
    "datasets": tuple(TensorDataset(torch.tensor(X[:n]), torch.tensor(Y[:n])) for n in (10, 4)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_data_set(monkeypatch, form):
    data = accepted(monkeypatch, FORMS[form])
    np.testing.assert_array_equal(data.train_inputs, X.astype(np.float32))
    np.testing.assert_array_equal(data.test_labels, Y[:4])
    assert (data.name, data.classes) == ("mine", ("0", "1"))


def test_devices_classes_and_numbers_to_predict(monkeypatch):
    more = {"devices": np.arange(10) // 5, "classes": ["a", "b", "c"]}
    data = accepted(monkeypatch, FORMS["names"] | more)
    assert (data.owners.tolist(), data.classes) == ([0] * 5 + [1] * 5, ("a", "b", "c"))
    assert accepted(monkeypatch, (X, X[:, :2], X, X[:, :2])).task == "regression"


def test_a_torch_dataset_with_a_share(monkeypatch):
    pixels = np.random.default_rng(1).integers(0, 256, (10, 6, 5, 3), dtype=np.uint8)
    data = accepted(monkeypatch, (Pictures(pixels), 0.2))
    assert (data.train_inputs.shape, data.test_inputs.shape) == ((8, 3, 6, 5), (2, 3, 6, 5))
    assert (data.classes, data.train_inputs.max() <= 1) == (("odd", "even"), True)


def test_random_transforms_give_every_node_the_same_and_leave_torch_as_it_was(monkeypatch):
    before = torch.random.get_rng_state()
    one, again = (accepted(monkeypatch, (Noisy(Y), 0.5)).train_inputs for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert (torch.random.get_rng_state() == before).all()


class Stream(IterableDataset):
    """A Dataset that is read in order only."""

    def __iter__(self):
        return iter(())


class Triples(Pictures):
    """A Dataset whose samples are no pairs."""

    def __getitem__(self, place):
        return 1, 2, 3


class Sizes(Pictures):
    """A Dataset whose samples differ."""

    def __getitem__(self, place):
        return np.zeros(1 + place), 0


REFUSED = {
    "none": (None, "must give a Dataset, four arrays .*, not None"),
    "two arrays": ((X, Y), "must give a Dataset, four arrays"),
    "no share": ((Pictures(Y), 2.0), "must give a Dataset, four arrays"),
    "lengths": ((X, Y[:3], X, Y), r"y: has the shape \(3,\); the 10 samples of x need"),
    "shapes": ((X, Y, X[:, :2], Y), r"x_test: samples have the shape \(2,\), and those of x"),
    "no test": ((X, Y, X[:0], Y[:0]), "x_test: has no samples"),
    "negative": ((X, Y, X, Y - 1), "y_test: has the label -1"),
    "classes": (FORMS["names"] | {"classes": ["a"]}, "y: labels go to 1, classes are 1"),
    "not finite": ((X, Y, X * np.inf, Y), "x_test: sample 1 has the value"),
    "ragged": (([[1], [1, 2]], Y, X, Y), "x cannot be read as an array"),
    "stream": ((Stream(), 0.5), "the Dataset has no length: must be map-style"),
    "empty": ((Pictures(Y[:0]), Pictures(Y)), "the Dataset for training has no samples"),
    "triples": ((Triples(Y), 0.5), r"sample 0 of the Dataset is \(1, 2, 3\): must be a pair"),
    "sizes": ((Sizes(Y), 0.5), r"sample 1 of the Dataset has the shape \(2,\) of float64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_data_set_is_refused_in_a_sentence(monkeypatch, case):
    given, sentence = REFUSED[case]
    with pytest.raises(Fault, match=f"^data.name = 'mine': .*{sentence}") as fault:
        accepted(monkeypatch, given)
    assert len(str(fault.value).splitlines()) == 1
