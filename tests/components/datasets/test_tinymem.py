"""TinyMem: every token from its definition, and the published counts of the leaky form."""

from functools import cache

import numpy as np
import pytest

from mpidl.components.datasets import DATASETS, tinymem
from mpidl.components.ood import OODS, Shape

SHAPE = Shape((150,), 5, vocabulary=14)


@cache
def data(split):
    return DATASETS["tinymem"](None, 0, split=split)


def rows(inputs):
    return {row.tobytes() for row in inputs}


def written(start, coefficient):
    numbers = []
    for _ in range(20):
        start = start * coefficient % 16381
        numbers.append(str(start))
    text = "^" + " ".join(numbers) + "$"
    return ["0123456789^$ ".index(character) for character in text] + [13] * (150 - len(text))


@pytest.mark.parametrize("coefficient", tinymem.COEFFICIENTS)
def test_tokens_are_the_text_of_the_sequence(coefficient):
    starts = np.array([0, 1, 7, 10, 999, 8190, 16380])
    text = tinymem.tokens(tinymem.sequences(starts, coefficient))
    assert text.tolist() == [written(int(start), coefficient) for start in starts]


@pytest.mark.parametrize(("split", "train"), [("disjoint", 76_900), ("leaky", 160_000)])
def test_counts(split, train):
    assert data(split).train_inputs.shape == (train, 150)
    assert data(split).test_inputs.shape == (5000, 150)
    assert np.bincount(data(split).train_labels).tolist() == [train // 5] * 5
    assert np.bincount(data(split).test_labels).tolist() == [1000] * 5


@pytest.mark.parametrize("split", ["disjoint", "leaky"])
def test_a_label_is_the_task_of_its_sequence(split):
    for index in np.linspace(0, 4999, 40, dtype=int):
        text = "".join("0123456789^$ _"[token] for token in data(split).test_inputs[index])
        numbers = [int(number) for number in text.strip("^_").rstrip("$").split()]
        coefficient = tinymem.COEFFICIENTS[data(split).test_labels[index]]
        assert [number * coefficient % 16381 for number in numbers[:-1]] == numbers[1:]


def test_disjoint_shares_no_sequence_between_any_two_samples():
    train, test = rows(data("disjoint").train_inputs), rows(data("disjoint").test_inputs)
    assert len(train) == 76_900
    assert len(test) == 5000
    assert not train & test


def test_leaky_leaks_as_published():
    train = rows(data("leaky").train_inputs)
    leaked = sum(row.tobytes() in train for row in data("leaky").test_inputs)
    assert leaked == 4870  # 97.4 %


def test_leaky_contains_the_trigger_as_often_as_published():
    shift = OODS["tinymem_trigger"](SHAPE)
    leaky = data("leaky")
    assert shift.eligible(leaky.train_inputs, leaky.train_labels).sum() == 24_475  # 15.3 %
    assert shift.eligible(leaky.test_inputs, leaky.test_labels).sum() == 814  # 16.3 %


def test_leaky_is_in_the_order_of_torch():
    torch = pytest.importorskip("torch")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(598)
        order = torch.randperm(33_000).tolist()
    assert tinymem.published_order(33_000).tolist() == order


def test_padding_is_ignored_unless_counted():
    assert data("disjoint").padding == 13
    assert DATASETS["tinymem"](None, 0, padding="counted").padding == -1
