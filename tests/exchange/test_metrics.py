"""Quantities over all devices, in closed form."""

import numpy as np
import pytest
import torch

from mpidl.exchange import kernels, metrics


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


@pytest.mark.skipif(kernels._native is None, reason="built without the native kernel")
@pytest.mark.parametrize("number", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", [1, 17, 4095, 4096, 3 * 4096 + 1001])
def test_an_accelerator_adds_as_the_native_kernel_does(monkeypatch, size, number):
    monkeypatch.setattr(kernels, "ROOM", 3 * 2 * kernels.TILE * 8)
    vectors = list(torch.randn(3, size).to(number))
    mean = torch.randn(size, dtype=torch.promote_types(number, torch.float32))
    there = np.sqrt(kernels._tiles_there(vectors, mean).sum(axis=1))
    assert there.tolist() == kernels.apart(vectors, mean)
