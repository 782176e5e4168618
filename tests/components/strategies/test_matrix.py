"""Schedules against exact values, and the sweep of the published testbed."""

import math

import numpy as np
import pytest

from mpidl.components.graphs import TOPOLOGIES, Neighborhood, build
from mpidl.components.strategies import SCHEDULES, STRATEGIES, row, sequential, temperature
from mpidl.config import runfile
from mpidl.config.faults import Fault
from tests.matrices import mixing_matrix

KINDS = {"topology": TOPOLOGIES, "strategy": STRATEGIES, "schedule": SCHEDULES}


def schedule(name, **settings):
    return runfile.validate({"schedule": {"name": name, **settings}}, KINDS).schedule


def coefficients(name, rounds, start=10.0, **settings):
    return [SCHEDULES[name](round, start, **settings) for round in range(rounds)]


def chain(devices):
    return build(runfile.TopologySettings(name="chain"), devices).graph


def test_constant():
    assert coefficients("constant", 3) == [10, 10, 10]


def test_exponential_falls_to_its_floor():
    values = coefficients("exponential", 60)
    assert values[:3] == pytest.approx([10, 9.5, 9.025])
    assert values[44] == pytest.approx(1.0467, abs=1e-4)
    assert values[45:] == [1.0] * 15
    assert coefficients("exponential", 3, -4.0, gamma=0.5, floor=2.0) == [-4, -2, -2]


def test_cosine_restarts():
    values = coefficients("cosine", 21, eta_min=1.0, period=10)
    want = [1 + 9 * (1 + math.cos(math.pi * t / 10)) / 2 for t in range(10)]
    assert values == pytest.approx([*want, *want, want[0]])
    assert values[:3] == pytest.approx([10, 9.77975, 9.14058], abs=1e-5)
    assert coefficients("cosine", 67)[66] == 10


def test_cosine_with_longer_and_longer_periods_and_a_negative_end():
    values = coefficients("cosine", 15, eta_min=-10.0, period=2, multiplier=2)
    assert [round for round, value in enumerate(values) if value == 10] == [0, 2, 6, 14]
    assert values[1] == pytest.approx(0)
    assert values[5] == pytest.approx(-10 * math.cos(math.pi / 4))


def test_oscillating_flips_the_sign():
    assert coefficients("oscillating", 7, period=3) == [10, 10, 10, -10, -10, -10, 10]
    assert coefficients("oscillating", 21)[9:11] == [10, -10]


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_every_schedule_starts_at_the_coefficient(name):
    strategy = runfile.StrategySettings(temperature=0.125)
    assert temperature(strategy, schedule(name), 0) == 0.125


def test_a_row_follows_its_schedule():
    strategy = runfile.validate({"strategy": {"name": "degree"}}, KINDS).strategy
    falling = schedule("exponential")
    graph = chain(3)
    for round, coefficient in ((0, 10), (1, 9.5), (100, 1)):
        want = 1 / (1 + math.exp(-0.5 * coefficient))
        assert row(strategy, falling, Neighborhood(graph, 0, round))[1] == pytest.approx(want)
        assert mixing_matrix(graph, strategy, falling, round)[0, 1] == pytest.approx(want)


def test_a_coefficient_of_zero_treats_all_alike():
    strategy = runfile.validate({"strategy": {"name": "degree"}}, KINDS).strategy
    zero = schedule("exponential", gamma=1e-300, floor=0.0)
    assert temperature(strategy, zero, 2) == math.inf
    np.testing.assert_array_equal(row(strategy, zero, Neighborhood(chain(3), 0, 2)), [0.5, 0.5])


def test_a_sweep_carries_a_unit_mass_over_many_links_as_the_testbed_did():
    strategy = runfile.validate({"strategy": {"name": "unweighted"}}, KINDS).strategy
    matrix = mixing_matrix(chain(5), strategy, runfile.ScheduleSettings())
    swept = sequential(matrix, range(5))
    np.testing.assert_allclose(matrix[:, 0], [0.5, 1 / 3, 0, 0, 0])
    np.testing.assert_allclose(swept[:, 0], [0.5, 0.1667, 0.0556, 0.0185, 0.0093], atol=5e-5)
    np.testing.assert_allclose(swept.sum(axis=1), 1)


def test_a_sweep_is_what_mixing_in_place_does():
    draw = np.random.default_rng(1)
    matrix = draw.random((6, 6))
    matrix /= matrix.sum(axis=1, keepdims=True)
    values = draw.random((6, 3))
    order = [3, 1, 5, 0]
    swept = sequential(matrix, order) @ values
    for device in order:
        values[device] = matrix[device] @ values
    np.testing.assert_allclose(swept, values)
    np.testing.assert_array_equal(sequential(matrix, []), np.eye(6))


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "linear"},
        {"name": "exponential", "gamma": 0.0},
        {"name": "exponential", "floor": float("nan")},
        {"name": "cosine", "period": 0},
        {"name": "cosine", "period": 5.0},
        {"name": "cosine", "multiplier": 0},
        {"name": "oscillating", "period": -1},
        {"name": "constant", "period": 5},
    ],
)
def test_settings_out_of_bounds_are_refused(settings):
    with pytest.raises(Fault, match=r"schedule\."):
        schedule(**settings)
