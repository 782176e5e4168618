"""Quantities over all devices, in closed form."""

import numpy as np
import pytest
import torch

from mpidl import metrics


def test_consensus_distance_is_the_norm_of_the_difference():
    vectors = {2: torch.tensor([3.0, 4.0, 0.0]), 5: torch.tensor([0.0, 0.0, -2.0])}
    assert metrics.consensus_distance(vectors, torch.zeros(3)) == [5.0, 2.0]
    assert metrics.consensus_distance(vectors, vectors[2]) == [0.0, pytest.approx(29**0.5)]


def test_consensus_distance_of_a_long_vector_is_summed_in_double():
    vectors = {0: torch.full((2_000_000,), 0.1)}
    (found,) = metrics.consensus_distance(vectors, torch.zeros(2_000_000))
    assert found == pytest.approx(float(np.float32(0.1)) * 2_000_000**0.5, rel=1e-10)


def test_consensus_distance_leaves_the_vectors():
    vectors = {0: torch.tensor([1.0, 2.0])}
    metrics.consensus_distance(vectors, torch.tensor([5.0, 5.0]))
    assert vectors[0].tolist() == [1.0, 2.0]
