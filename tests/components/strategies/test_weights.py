"""Rows of every strategy: golden vectors, closed forms, and that they are probabilities."""

import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mpidl.components.graphs import TOPOLOGIES, Neighborhood, build
from mpidl.components.strategies import (
    SCHEDULES,
    STRATEGIES,
    Inbox,
    combines,
    looks,
    row,
    softmax,
)
from mpidl.config import runfile
from mpidl.config.faults import Fault
from tests.matrices import mixing_matrix, spectral_gap

KINDS = {"topology": TOPOLOGIES, "strategy": STRATEGIES, "schedule": SCHEDULES}
CENTRAL = ["betweenness", "closeness", "degree", "eigenvector"]
WEIGHING = sorted(name for name in STRATEGIES if not combines(name))
SCHEDULE = runfile.ScheduleSettings()
SAMPLES = tuple(range(1, 65))
"""Training samples of each device."""


def strategy(name, **settings):
    return runfile.validate({"strategy": {"name": name, **settings}}, KINDS).strategy


def built(name, devices, **settings):
    tables = {"topology": {"name": name, "allow_disconnected": True, **settings}}
    return build(runfile.validate(tables, KINDS).topology, devices)


def named(name, devices, **settings):
    return built(name, devices, **settings).graph


def look(name):
    """Inboxes of drawn vectors, if the strategy looks at them."""

    def opened(view):
        drawn = [torch.randn(6, generator=torch.Generator().manual_seed(i)) for i in view.members]
        return Inbox(drawn, lambda vector: [vector.view(2, 3)])

    return opened if looks(name) else None


def matrix(graph, name, round=0, seed=0, **settings):
    wanted = strategy(name, **settings)
    return mixing_matrix(graph, wanted, SCHEDULE, round, seed, look(name), SAMPLES)


PATH = named("chain", 3)
STAR = named("star", 5)
BA33 = named("barabasi_albert", 33, m=2, seed=0)


@pytest.mark.parametrize(
    ("graph", "name", "device", "want"),
    [
        (PATH, "degree", 0, [0.006693, 0.993307]),
        (PATH, "betweenness", 0, [0.034445, 0.965555]),
        (STAR, "degree", 1, [0.000553, 0.999447]),
        (STAR, "betweenness", 1, [0.002473, 0.997527]),
        (STAR, "degree", 0, [0.997793, *[0.000552] * 4]),
        (STAR, "betweenness", 0, [0.990182, *[0.0024545] * 4]),
        (PATH, "unweighted", 1, [1 / 3, 1 / 3, 1 / 3]),
        (PATH, "unweighted", 0, [1 / 2, 1 / 2]),
        (PATH, "weighted", 1, [2 / 6, 1 / 6, 3 / 6]),
        (PATH, "none", 1, [1, 0, 0]),
        (PATH, "metropolis_hastings", 0, [2 / 3, 1 / 3]),
        (STAR, "metropolis_hastings", 0, [1 / 5] * 5),
        (STAR, "metropolis_hastings", 1, [4 / 5, 1 / 5]),
    ],
)
def test_golden_rows(graph, name, device, want):
    got = row(strategy(name), SCHEDULE, Neighborhood(graph, device, samples=SAMPLES))
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_golden_rows_of_the_published_graph():
    degrees = [13, 1, 2, 14, 9, 3, 7, 4, 5, 5, 4, 3, 5, 2, 3, 2, 2, 3, 4, 3, 2, 3, 2, 2, 3, 2, 2]
    assert [d for _, d in BA33.in_degree] == [*degrees, 4, 2, 2, 2, 2, 2]
    weights = matrix(BA33, "degree")
    own = [weights[device, device] for device in (3, 0, 4, 6, 32)]
    np.testing.assert_allclose(own, [0.4195, 0.3175, 0.0931, 0.2089, 0.0849], atol=5e-5)
    assert Neighborhood(BA33, 32).members == [32, 4, 7]
    np.testing.assert_allclose(weights[32, [4, 7]], [0.7565, 0.1586], atol=5e-5)


@pytest.mark.parametrize("name", WEIGHING)
@given(
    topology=st.sampled_from(sorted(TOPOLOGIES)),
    devices=st.sampled_from([8, 16]),
    chance=st.one_of(st.just(1.0), st.floats(0.05, 1)),
    round=st.integers(0, 50),
    seed=st.integers(0, 9),
)
@example(topology="star", devices=16, chance=1.0, round=3, seed=0)
@example(topology="exponential", devices=16, chance=0.5, round=3, seed=0)
@example(topology="base_k", devices=16, chance=0.5, round=3, seed=0)
@settings(max_examples=12)
def test_every_row_is_a_probability_over_the_members(name, topology, devices, chance, round, seed):
    # Others have no weights to give, but for matcha, whose may be negative.
    topology = "base_k" if name == "given" else topology
    links = built(topology, devices, link_probability=chance).at(round, seed)
    weights = matrix(links, name, round, seed)
    assert weights.shape == (devices, devices)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-14)
    if STRATEGIES.properties(name).complete:
        return
    for device in links.graph:
        view = links.around(device, round, seed, SAMPLES)
        others = np.setdiff1d(np.arange(devices), view.members)
        assert (weights[device, others] == 0).all()
        np.testing.assert_array_equal(
            row(strategy(name), SCHEDULE, view, look(name)), weights[device, view.members]
        )


@pytest.mark.parametrize("name", WEIGHING)
def test_a_device_alone_keeps_all(name):
    np.testing.assert_array_equal(matrix(named("complete", 1), name), [[1.0]])


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_is_documented_and_its_defaults_are_allowed(name):
    assert inspect.getdoc(STRATEGIES[name])
    STRATEGIES.settings(name)()


def lazy(n):
    """Second eigenvalue of Metropolis-Hastings weights on a chain of n devices."""
    return 1 / 3 + 2 / 3 * math.cos(math.pi / n)


@pytest.mark.parametrize(
    ("topology", "devices", "modulus"),
    [
        *(("ring", n, lazy(n / 2)) for n in (8, 16, 32, 64)),
        *(("chain", n, lazy(n)) for n in (8, 16, 32, 64)),
        *(("star", n, 1 - 1 / n) for n in (8, 16, 32, 64)),
        *(("hypercube", 2**k, 1 - 2 / (1 + k)) for k in (3, 4, 5, 6)),
        ("ring", 8, 0.80473785),
        ("chain", 64, 0.99919697),
        ("torus", 32, 0.88284271),
        ("binary_tree", 31, 0.98992213),
    ],
)
def test_metropolis_hastings_mixes_as_fast_as_the_closed_form(topology, devices, modulus):
    weights = matrix(named(topology, devices), "metropolis_hastings")
    np.testing.assert_allclose(weights, weights.T, atol=1e-15)
    assert 1 - spectral_gap(weights) == pytest.approx(modulus, abs=6e-9)


@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_static_exponential_graph_mixes_as_fast_as_the_closed_form(k):
    weights = matrix(named("exponential", 2**k), "unweighted")
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    assert 1 - spectral_gap(weights) == pytest.approx(1 - 2 / (1 + k), abs=1e-8)


def test_metropolis_hastings_stays_doubly_stochastic_when_links_fail():
    links = built("barabasi_albert", 20, link_probability=0.5).at(0, 0)
    weights, whole, graph = matrix(links, "metropolis_hastings"), links.whole, links.graph
    assert 0 < graph.number_of_edges() < whole.number_of_edges()
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    i, j = next(iter(graph.edges))
    assert weights[i, j] == 1 / (1 + max(whole.in_degree[i], whole.in_degree[j]))


def test_federated_is_the_mean_of_all():
    assert STRATEGIES.having(complete=True) == ["federated"]
    full = built("ring", 8).completed().graph
    np.testing.assert_array_equal(matrix(full, "federated"), 1 / 8)
    for name in ("federated", "unweighted"):
        view = Neighborhood(full, 3)
        np.testing.assert_array_equal(row(strategy(name), SCHEDULE, view), 1 / 8)


def test_random_weights_are_the_same_for_all_that_hear_and_fresh_each_round():
    graph = named("complete", 6)
    weights = matrix(graph, "random", round=4, seed=9)
    np.testing.assert_allclose(weights, np.tile(weights[0], (6, 1)), atol=1e-15)
    assert len(set(weights[0])) == 6
    np.testing.assert_array_equal(matrix(graph, "random", round=4, seed=9), weights)
    assert (matrix(graph, "random", round=5, seed=9) != weights).all()
    assert (matrix(graph, "random", round=4, seed=10) != weights).all()
    # The testbed's seed s, round r + 1 was seed s + 1, round r.
    assert (matrix(graph, "random", round=5, seed=9) != matrix(graph, "random", 4, 10)).all()


def test_frozen_random_weights_last_for_ten_rounds_and_are_those_of_the_last():
    graph = named("complete", 6)
    frozen = [matrix(graph, "random", round, draw="frozen") for round in range(21)]
    last = [matrix(graph, "random", round) for round in (9, 19, 29)]
    for round in range(21):
        np.testing.assert_array_equal(frozen[round], last[round // 10])
    of_five = matrix(graph, "random", 5, draw="frozen", frozen_rounds=5)
    np.testing.assert_array_equal(of_five, matrix(graph, "random", 9))


@pytest.mark.parametrize("name", CENTRAL)
def test_plain_normalisation_divides_by_the_sum(name):
    weights = matrix(PATH, name, normalize="plain")
    end, middle = {
        "degree": (0.5, 1.0),
        "betweenness": (2 / 3, 1.0),
        "closeness": (2 / 3, 1.0),
        "eigenvector": (0.5, math.sqrt(0.5)),
    }[name]
    np.testing.assert_allclose(weights[0], [end / (end + middle), middle / (end + middle), 0])


@pytest.mark.parametrize("name", CENTRAL)
def test_a_negative_temperature_prefers_the_ends(name):
    end, middle = matrix(PATH, name)[0, :2]
    assert middle > end
    reverse = matrix(PATH, name, temperature=-0.1)[0, :2]
    np.testing.assert_allclose(reverse, [middle, end])


@pytest.mark.parametrize("temperature", [1e-6, 1e-320, 5e-324])
@pytest.mark.parametrize("name", CENTRAL)
def test_extreme_temperatures_pick_one(name, temperature):
    np.testing.assert_array_equal(matrix(STAR, name, temperature=temperature)[1, :2], [1, 0])
    np.testing.assert_array_equal(matrix(STAR, name, temperature=-temperature)[1, :2], [0, 1])
    np.testing.assert_array_equal(matrix(STAR, name, temperature=-temperature)[0, 1:], 1 / 4)


@pytest.mark.parametrize("name", [*CENTRAL, "random"])
@pytest.mark.parametrize("temperature", [1e300, -1e300, math.inf])
def test_a_high_temperature_treats_all_alike(name, temperature):
    got = STRATEGIES[name](Neighborhood(STAR, 0), temperature=temperature)
    np.testing.assert_allclose(got, 1 / 5, atol=1e-15)


def test_softmax():
    np.testing.assert_allclose(softmax(np.log([1.0, 2.0, 5.0]), 1.0), [0.125, 0.25, 0.625])


def test_no_samples_anywhere_is_no_reason_to_fail():
    view = Neighborhood(PATH, 0, samples=(0, 0, 0))
    np.testing.assert_array_equal(row(strategy("weighted"), SCHEDULE, view), 0.5)


def test_weights_by_samples_are_refused_where_no_data_are_placed():
    with pytest.raises(Fault, match="'weighted': needs training samples, and no data are placed"):
        row(strategy("weighted"), SCHEDULE, Neighborhood(PATH, 0))


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "degre"},
        {"name": "degree", "temperature": 0.0},
        {"name": "degree", "temperature": float("nan")},
        {"name": "degree", "temperature": "cold"},
        {"name": "degree", "normalize": "hard"},
        {"name": "random", "frozen_rounds": 0},
        {"name": "unweighted", "normalize": "plain"},
    ],
)
def test_settings_out_of_bounds_are_refused(settings):
    with pytest.raises(Fault, match=r"strategy\."):
        strategy(**settings)
