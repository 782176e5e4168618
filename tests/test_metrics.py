"""Quantities over all devices, in closed form."""

from types import SimpleNamespace

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


def test_everyone_has_the_rows_of_all_ranks_in_rank_order():
    """Rank 1 of three, with two rows of two columns; the others have one and three."""
    rows = np.arange(12.0).reshape(6, 2)

    def allgatherv(own, into):
        memory, counts = into
        assert counts.tolist() == [2, 4, 6]
        assert own.flags.c_contiguous
        np.testing.assert_array_equal(own, rows[1:3])
        memory[...] = rows

    comm = SimpleNamespace(Allgatherv=allgatherv)
    own = np.asfortranarray(rows[1:3])
    np.testing.assert_array_equal(metrics.everyone(comm, own, np.array([1, 2, 3])), rows)
