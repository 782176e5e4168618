"""Messages of compressed gossip: what arrives of a vector, and how long they are."""

import math

import numpy as np
import pytest
import torch

from mpidl.components.algorithms import Lengths, Messages, State
from mpidl.components.algorithms.compression import BLOCK, COMPRESSORS, choco

KEY = 7, 3, 5
SIZES = 1, 8, 33, 1024, 3000


def sent(name, vector, share=0.1, key=KEY):
    """What the other end adds to zero, and the message."""
    q = COMPRESSORS[name](share)
    message = vector.new_zeros(q.numbers(len(vector), vector.itemsize))
    q.write(vector, key, message)
    out = torch.zeros_like(vector)
    q.add(message, key, out)
    return out, message


def drawn(size, dtype=torch.float32):
    return torch.randn(size, dtype=dtype, generator=torch.Generator().manual_seed(size))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", COMPRESSORS)
def test_what_is_left_out_is_less_than_all(name, size, dtype):
    """CHOCO asks of Q: ||Q(v) - v||^2 <= (1 - delta) ||v||^2 with delta > 0.

    delta is k/P for the k largest; ||v||_1^2 / (P ||v||_2^2) for signs, an equality (Karimireddy
    et al., 2019, arXiv 1901.09847, lemma 8); one for exact numbers. Random places keep k/P in the
    mean only, but never make the vector longer.
    """
    vector = drawn(size, dtype)
    out, _ = sent(name, vector)
    left, whole = (float(v.square().sum()) for v in (vector - out, vector))
    share = math.ceil(0.1 * size) / size
    delta = {
        "top_k": share,
        "random_k": 0.0,
        "sign": float(vector.abs().sum()) ** 2 / (size * whole),
        # Half a step of max/127 in each of P numbers, of which one has the maximum.
        "int8": 1 - min(size, BLOCK) * (0.5 / 127) ** 2 * math.ceil(size / BLOCK) - 1e-6,
        "bfloat16": 1 - 2.0**-16,
    }[name]
    assert left <= (1 - delta) * whole * (1 + 1e-5) + 1e-6
    if name == "sign":
        assert left == pytest.approx((1 - delta) * whole, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", SIZES)
def test_the_largest_of_16_bits_arrive_wherever_their_places_begin(size, dtype):
    vector = drawn(size).to(dtype)
    out, _ = sent("top_k", vector)
    kept = out != 0
    assert int(kept.sum()) == math.ceil(0.1 * size)
    assert torch.equal(out[kept], vector[kept])
    assert vector.abs().max() in out.abs()


@pytest.mark.parametrize(
    ("name", "floats", "doubles"),
    # k = 300 of 3,000: numbers and 4-byte places; numbers; 375 bytes of signs and a modulus; 3,000
    # bytes and 3 scales; 6,000 bytes.
    [
        ("top_k", 600, 450),
        ("random_k", 300, 300),
        ("sign", 95, 48),
        ("int8", 753, 378),
        ("bfloat16", 1500, 750),
    ],
)
def test_messages_are_as_short_as_told(name, floats, doubles):
    assert len(sent(name, drawn(3000))[1]) == floats
    assert len(sent(name, drawn(3000, torch.float64))[1]) == doubles


def test_the_largest_numbers_arrive_as_they_are():
    vector = torch.tensor([1.0, -5.0, 0.0, 4.0, -2.0])
    assert sent("top_k", vector, 0.4)[0].tolist() == [0, -5, 0, 4, 0]


def test_random_places_are_those_of_sender_and_round():
    vector = drawn(1000)
    out, message = sent("random_k", vector)
    assert torch.equal(out[out != 0], message)
    assert torch.equal(out, sent("random_k", vector)[0])
    places = [
        set(sent("random_k", vector, key=key)[0].nonzero().flatten().tolist())
        for key in [(7, 3, 5), (7, 4, 5), (7, 3, 6), (8, 3, 5)]
    ]
    assert len({frozenset(some) for some in places}) == 4


def test_each_number_has_its_sign_and_the_mean_modulus():
    vector = torch.tensor([3.0, -1.0, 2.0, -2.0])
    assert sent("sign", vector)[0].tolist() == [2, -2, 2, -2]


def test_a_block_of_bytes_has_a_scale_of_its_own():
    vector = torch.cat([torch.full((BLOCK,), 1e-6), torch.full((3,), 1e6)])
    assert torch.allclose(sent("int8", vector)[0], vector, rtol=1e-6)
    assert not sent("int8", torch.zeros(5))[0].any()


@pytest.mark.parametrize("name", COMPRESSORS)
def test_statistics_are_mixed_by_the_weights_and_stay_positive(name):
    """Of two devices with three numbers and two variances each, however coarse the compressor."""
    algorithm, weights = choco(name, share=0.1), [0.75, 0.25]
    lengths = Lengths(size=5, learned=3, members=[0, 1])
    states = []
    for number in range(2):
        state = State(drawn(5 + number)[:5], torch.zeros(algorithm.travels(lengths)), 3, number, 2)
        state.x[3:] = torch.tensor([0.05, 0.07 + number])
        state.kept = {k: torch.zeros(n) for k, n in algorithm.keeps(lengths).items()}
        states.append(state)
    for _ in range(20):
        before = [state.x[3:].clone() for state in states]
        for state in states:
            algorithm.give(state)
        sent = [state.vector.clone() for state in states]
        for own, state in enumerate(states):
            members = [own, 1 - own]
            algorithm.read(state, Messages(members, np.array(weights), [sent[j] for j in members]))
            want = weights[0] * before[own] + weights[1] * before[1 - own]
            assert torch.allclose(state.x[3:], want)
            assert (state.x[3:] > 0).all()
