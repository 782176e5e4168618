"""Where devices side by side are said to pay."""

import pytest
from torch import nn

from mpidl.devices import batching


def linear(inputs, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs), nn.ReLU())


@pytest.mark.parametrize(
    ("model", "devices", "want"),
    [
        (linear(64, 64), 8, True),
        (linear(64, 64), 7, None),
        (linear(399, 100), 5000, True),
        (linear(400, 100), 5000, None),
        (linear(998, 100), 8, None),
        (linear(1000, 100), 8, False),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2)), 8, False),
        (nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 10)), 8, None),
    ],
)
def test_the_rule_follows_layers_parameters_and_devices(model, devices, want):
    assert batching.pays(model, devices) is want


def test_off_the_processor_all_models_are_taken_to_gain():
    convolves = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    assert batching.pays(convolves, 2, "cuda") is True
    assert batching.pays(convolves, 1, "cuda") is False
