"""The weighted sum: closed forms, and the same bits by either kernel."""

import numpy as np
import pytest
import torch

from mpidl import kernels

TYPES = {"float32": torch.float32, "float64": torch.float64}


def members(count, size, dtype, seed=5):
    """Vectors with ordinary, tiny, huge and signed-zero entries."""
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(count, size)) * 10.0 ** draw.integers(-30, 30, size=(count, size))
    rows[:, ::7] = -0.0
    return list(torch.from_numpy(rows).to(TYPES[dtype]))


def row(count):
    weights = np.random.default_rng(count).random(count) + 0.01
    return weights / weights.sum()


def bits(vector):
    return vector.numpy().view(f"i{vector.element_size()}")


def mixed(weights, vectors):
    out = torch.full_like(vectors[0], 7.0)
    kernels.mix(np.asarray(weights, dtype=np.float64), vectors, out=out)
    return out


@pytest.fixture(params=["native", "torch"])
def kernel(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(kernels, "_native", None)
    elif kernels._native is None:
        pytest.skip("mpidl was installed without its native kernel")
    return request.param


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", [1, 2047, 2048, 2049, 5000])
@pytest.mark.parametrize("count", range(1, 8))
def test_native_and_torch_give_the_same_bits(monkeypatch, count, size, dtype):
    if kernels._native is None:
        pytest.skip("mpidl was installed without its native kernel")
    vectors = members(count, size, dtype)
    native = mixed(row(count), vectors)
    monkeypatch.setattr(kernels, "_native", None)
    np.testing.assert_array_equal(bits(native), bits(mixed(row(count), vectors)))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_products_are_rounded_and_added_in_order(kernel, count, dtype):
    vectors, weights = members(count, 100, dtype), row(count).astype(dtype)
    want = weights[0] * vectors[0].numpy()
    for weight, vector in zip(weights[1:], vectors[1:], strict=True):
        want = want + weight * vector.numpy()
    np.testing.assert_array_equal(bits(mixed(weights, vectors)), want.view(f"i{want.itemsize}"))


def test_a_mean_of_two(kernel):
    vectors = [torch.tensor([1.0, -2.0, 8.0]), torch.tensor([3.0, 2.0, 0.5])]
    assert mixed([0.5, 0.5], vectors).tolist() == [2.0, 0.0, 4.25]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_members_of_weight_zero_are_not_read(kernel, bad, place):
    vectors = [torch.full((2049,), 3.0) for _ in range(3)]
    vectors[place].fill_(bad)
    weights = np.full(3, 0.5)
    weights[place] = 0.0
    assert mixed(weights, vectors).eq(3.0).all()


def test_no_weight_at_all_gives_zero(kernel):
    assert mixed([0.0, 0.0], [torch.full((5,), float("nan"))] * 2).eq(0.0).all()


def test_members_stay_as_they_are(kernel):
    vectors = members(3, 100, "float32")
    before = [vector.clone() for vector in vectors]
    mixed(row(3), vectors)
    assert all(torch.equal(a, b) for a, b in zip(vectors, before, strict=True))


def test_views_of_larger_memory(kernel):
    memory = torch.arange(40, dtype=torch.float32).reshape(4, 10)
    out = torch.zeros(2, 10)
    kernels.mix(np.array([0.25, 0.75]), [memory[1, :7], memory[3, :7]], out=out[1, :7])
    np.testing.assert_array_equal(out[1, :7], 0.25 * memory[1, :7] + 0.75 * memory[3, :7])
    assert not out[0].any()
    assert not out[1, 7:].any()


def test_as_many_weights_as_members(kernel):
    with pytest.raises(ValueError, match="zip"):
        mixed([0.5, 0.25, 0.25], members(2, 3, "float32"))
