"""The weighted sum: closed forms, and the same bits by either kernel."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mpidl.exchange import kernels

TYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def members(count, size, dtype, seed=5):
    """Vectors with ordinary, tiny, huge and signed-zero entries."""
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(count, size)) * 10.0 ** draw.integers(-30, 30, size=(count, size))
    if dtype == "float16":
        rows = draw.normal(size=(count, size)) * 10.0 ** draw.integers(-8, 5, size=(count, size))
    rows[:, ::7] = -0.0
    return list(torch.from_numpy(rows).to(TYPES[dtype]))


def row(count):
    weights = np.random.default_rng(count).random(count) + 0.01
    return weights / weights.sum()


def bits(vector):
    return vector.view(getattr(torch, f"int{8 * vector.element_size()}")).numpy()


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


EDGES = [1, 63, 64, 65, 4095, 4097, 9000]
"""Sizes around those of a vector register's loop and of a tile."""


@pytest.mark.skipif(kernels._native is None, reason="mpidl was installed without its native kernel")
@pytest.mark.parametrize("dtype", TYPES)
@given(
    count=st.integers(1, 12),
    size=st.one_of(st.sampled_from(EDGES), st.integers(1, 9000)),
    seed=st.integers(0, 2**32),
)
@example(count=1, size=1, seed=5)
@example(count=1, size=4097, seed=5)
@example(count=2, size=63, seed=5)
@example(count=3, size=64, seed=5)
@example(count=4, size=65, seed=5)
@example(count=5, size=4095, seed=5)
@example(count=6, size=4097, seed=5)
@example(count=7, size=9000, seed=5)
@settings(max_examples=40)
def test_native_and_torch_give_the_same_bits(dtype, count, size, seed):
    vectors = members(count, size, dtype, seed)
    native = mixed(row(count), vectors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_native", None)
        np.testing.assert_array_equal(bits(native), bits(mixed(row(count), vectors)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_products_are_rounded_and_added_in_order(kernel, count, dtype):
    vectors, weights = members(count, 100, dtype), row(count).astype(dtype)
    want = weights[0] * vectors[0].numpy()
    for weight, vector in zip(weights[1:], vectors[1:], strict=True):
        want = want + weight * vector.numpy()
    np.testing.assert_array_equal(bits(mixed(weights, vectors)), want.view(f"i{want.itemsize}"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_numbers_of_16_bits_are_summed_in_32_and_rounded_once(kernel, dtype):
    vectors, weights = members(4, 3000, dtype), row(4)
    products = [v.float() * weight for weight, v in zip(weights.tolist(), vectors, strict=True)]
    want = products[0]
    for product in products[1:]:
        want = want + product
    np.testing.assert_array_equal(bits(mixed(weights, vectors)), bits(want.to(TYPES[dtype])))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_every_number_of_16_bits_survives_a_copy(kernel, dtype):
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(TYPES[dtype])
    copy = mixed([1.0], [every])
    assert torch.equal(copy.isnan(), every.isnan())
    there = ~every.isnan().numpy()
    np.testing.assert_array_equal(bits(copy)[there], bits(every)[there])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bits_round_as_torch_rounds(kernel, dtype):
    """Halves of numbers are ties, and those of the smallest and of the largest special."""
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(TYPES[dtype])
    for weight in (0.5, 1.5, 3.0, 2.0**-9):
        found, want = mixed([weight], [every]), (every.float() * weight).to(TYPES[dtype])
        there = ~want.isnan().numpy()
        np.testing.assert_array_equal(bits(found)[there], bits(want)[there])


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
    with pytest.raises(ValueError, match="3 weights for 2 members"):
        mixed([0.5, 0.25, 0.25], members(2, 3, "float32"))


def squares_of(vectors, columns):
    mean = sum(v.double() for v in vectors) / len(vectors)
    return [float(((v.double() - mean)[columns] ** 2).sum()) for v in vectors]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", [1, 5000, 3 * kernels.TILE])
def test_rows_mixed_together_and_their_distances(kernel, size, dtype):
    vectors = [torch.randn(size).to(TYPES[dtype]) for _ in range(5)]
    members_ = [[0, 1, 2], [1, 0], [2], [2], [0, 1, 2, 3, 4]]
    weights = [row(len(m)) for m in members_]
    outs = [torch.empty_like(vectors[0]) for _ in members_]
    squares = np.zeros((-(-size // kernels.TILE), len(outs)))
    mixture = kernels.Mixture([[vectors[j] for j in m] for m in members_], outs)
    mixture(np.concatenate(weights), squares)
    for out, own, m in zip(outs, weights, members_, strict=True):
        np.testing.assert_array_equal(bits(out), bits(mixed(own, [vectors[j] for j in m])))
    for tile, found in enumerate(squares):
        part = slice(tile * kernels.TILE, (tile + 1) * kernels.TILE)
        tolerance = 1e-5 if dtype != "float64" else 1e-12
        np.testing.assert_allclose(found, squares_of(outs, part), rtol=tolerance, atol=1e-6)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("offset", [0, 1, 4])
def test_past_the_cache_or_not_is_the_same(kernel, stream, offset):
    vectors = members(3, 10_000, "float32")
    memory = torch.full((10_010,), 7.0)
    out = memory[offset : offset + 10_000]
    kernels.Mixture([vectors], [out], stream=stream)(row(3))
    np.testing.assert_array_equal(bits(out), bits(mixed(row(3), vectors)))
    assert memory[:offset].eq(7.0).all()
    assert memory[offset + 10_000 :].eq(7.0).all()


@pytest.mark.parametrize(("size", "parts"), [(1, 3), (4096, 2), (100_000, 7), (12_288, 3)])
def test_parts_of_columns_are_whole_tiles_and_everything(size, parts):
    cuts = [kernels.cut(size, parts, number) for number in range(parts)]
    assert [c for part in cuts for c in range(size)[part]] == list(range(size))
    assert all(part.start % kernels.TILE == 0 or part.start == size for part in cuts)
