"""Models that learned nothing: found by what they answer, and by what they lose."""

import math

import numpy as np
import pytest

from mpidl.report import failures
from mpidl.run.console import PHASES, Display

NAN = math.nan


@pytest.mark.parametrize(
    ("by_class", "constant"),
    [
        ([0, 1, 0], True),
        ([NAN, 1, 0], True),
        ([0, 0.99, 0], False),
        ([0, 1, 0.01], False),
        ([0, 0, 0], False),
        ([1, 1, 1], False),
        ([NAN, 1, NAN], False),
        ([NAN] * 3, False),
    ],
)
def test_a_constant_answer_is_right_about_one_class_alone(by_class, constant):
    assert failures.constant(np.array([by_class, [0.5] * 3])).tolist() == [constant, False]


def test_training_diverges_where_it_is_far_worse_than_guessing():
    losses = np.array([0.1, 6.9, 7.0, 1e30, NAN, np.inf])
    assert failures.diverged(losses, 10).tolist() == [False, False, True, True, False, False]
    assert not failures.diverged(losses, 1).any()


def test_a_run_says_at_its_end_who_learned_nothing():
    display = Display(2, quiet=False, attackers=[3])
    times = {f"seconds_{phase}": np.ones(4) for phase in PHASES}
    fine = {**times, "iid_class_accuracy_mixed": np.full((4, 2), 0.5), "train_loss": np.ones(4)}
    display.watch(0, fine)
    assert display.failures() == []
    shares = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [1.0, 0.0]])
    losses = np.array([1.0, 50.0, NAN, 1e9])
    display.watch(1, {**times, "iid_class_accuracy_mixed": shares, "train_loss": losses})
    assert display.failures() == [
        "Devices 0, 2 answer one class whatever they are asked: accuracies, OOD too, are those "
        "of a constant answer, not of knowledge.",
        "Training diverges on device 1, though losses are finite: up to 50 in the last round, "
        "where guessing has 0.693; a smaller training.lr may help.",
    ]
    assert Display(1, quiet=False).failures() == []
