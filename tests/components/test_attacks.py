"""What attackers send."""

import numpy as np
import pytest
import torch

from mpidl.components.attacks import ATTACKS
from mpidl.config import runfile, seeds


def sent(name, vector, device=0, round_=0, **settings):
    attack = runfile.validate({"attack": {"name": name, **settings}}, {"attack": ATTACKS}).attack
    rng = seeds.stream(0, "attack", device, round_)
    before = vector.clone()
    found = ATTACKS.build(attack, vector, rng)
    assert torch.equal(vector, before)
    return found


@pytest.fixture
def vector():
    return torch.linspace(-1, 1, 20_001)


def test_sign_flip_turns_the_model_around(vector):
    assert torch.equal(sent("sign_flip", vector, strength=4.0), -4 * vector)


def test_noise_is_normal_and_another_for_each_device_and_round(vector):
    found = [
        sent("noise", vector, d, r, strength=0.5) - vector for d, r in ((0, 0), (1, 0), (0, 1))
    ]
    for one in found:
        assert float(one.mean()) == pytest.approx(0, abs=0.02)
        assert float(one.std()) == pytest.approx(0.5, rel=0.03)
    correlation = np.corrcoef([one.numpy() for one in found])
    assert np.abs(correlation - np.eye(3)).max() < 0.03
    again = sent("noise", vector, 1, 0, strength=0.5) - vector
    assert torch.equal(again, found[1])


def test_the_same_value_everywhere(vector):
    assert torch.equal(sent("same_value", vector, value=-3.0), torch.full((20_001,), -3.0))


def test_none_is_honest(vector):
    assert sent("none", vector) is vector
