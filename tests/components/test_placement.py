"""Samples on devices, OOD data on devices, devices on ranks."""

import time
from types import SimpleNamespace
from typing import get_args

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mpidl.components import graphs, placement
from mpidl.components.placement import PLACEMENTS, hosts, label_counts, sources
from mpidl.components.placement.location import Centrality
from mpidl.config.faults import Fault

ALPHAS = [1e-6, 1e-3, 0.1, 1.0, 1000.0, 1e6]


def topology_of(graph, **told):
    """Only what `graphs.build` promises: nodes 0..N-1, both directions of each link."""
    directed = nx.DiGraph()
    directed.add_nodes_from(range(len(graph)))
    directed.add_edges_from(graph.to_directed().edges, probability=1.0)
    return graphs.Topology(directed, **told)


def ring(devices):
    return topology_of(nx.cycle_graph(devices) if devices > 2 else nx.path_graph(devices))


BY_LABEL = sorted(set(PLACEMENTS) - {"given"})


def balanced(samples, classes=10, seed=0):
    return np.random.default_rng(seed).permutation(np.arange(samples) % classes)


def assert_partition(shards, samples, devices):
    assert len(shards) == devices
    assert all(shard.dtype == np.int64 and len(shard) >= 1 for shard in shards)
    assert all((np.diff(shard) > 0).all() for shard in shards)
    np.testing.assert_array_equal(np.sort(np.concatenate(shards)), np.arange(samples))


def skew(shards, labels, classes=10):
    """Mean total variation between the labels of a device and those of all, in [0, 1]."""
    counts = label_counts(shards, labels, classes)
    mixes = counts / counts.sum(axis=1, keepdims=True)
    return np.abs(mixes - counts.sum(axis=0) / counts.sum()).sum(axis=1).mean() / 2


@st.composite
def problems(draw):
    devices = draw(st.integers(1, 12))
    samples = draw(st.integers(devices, 200))
    seed = draw(st.integers(0, 2**63 - 1))
    share = draw(st.lists(st.floats(0.001, 1), min_size=1, max_size=8))
    labels = np.random.default_rng(seed).choice(
        len(share), samples, p=np.array(share) / np.sum(share)
    )
    return labels, ring(devices), seed


@pytest.mark.parametrize("name", BY_LABEL)
@given(problem=problems())
@settings(max_examples=40, deadline=None)
def test_every_sample_lives_on_exactly_one_device(name, problem):
    labels, topology, seed = problem
    parameters = {}
    if name == "shards":
        least = -(-len(set(labels.tolist())) // len(topology))
        parameters = {"classes_per_device": least}
        if least * len(topology) > len(labels):
            return
    once, again = (PLACEMENTS[name](labels, topology, seed, **parameters) for _ in range(2))
    assert_partition(once, len(labels), len(topology))
    for shard, same in zip(once, again, strict=True):
        np.testing.assert_array_equal(shard, same)


@given(
    problem=problems(),
    label_alpha=st.floats(1e-300, 1e300),
    sample_alpha=st.floats(1e-300, 1e300),
    offset=st.integers(),
)
@settings(max_examples=100, deadline=None)
def test_dirichlet_ends_well_for_any_alpha(problem, label_alpha, sample_alpha, offset):
    labels, topology, seed = problem
    shards = placement.dirichlet(
        labels, topology, seed, label_alpha, sample_alpha, order="degree", offset=offset
    )
    assert_partition(shards, len(labels), len(topology))


@pytest.mark.parametrize("label_alpha", ALPHAS)
@pytest.mark.parametrize("sample_alpha", ALPHAS)
def test_dirichlet_ends_well_for_the_extremes_on_many_devices(label_alpha, sample_alpha):
    labels = balanced(3000)
    shards = placement.dirichlet(labels, ring(64), 1, label_alpha, sample_alpha)
    assert_partition(shards, 3000, 64)


@pytest.mark.parametrize("name", BY_LABEL)
def test_seeds_differ(name):
    labels = balanced(100)
    first, second = (PLACEMENTS[name](labels, ring(5), seed) for seed in (0, 1))
    assert any(not np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", BY_LABEL)
def test_as_many_samples_as_devices_is_one_each(name):
    labels = np.zeros(7, dtype=np.int64)
    parameters = {"classes_per_device": 1} if name == "shards" else {}
    shards = PLACEMENTS[name](labels, ring(7), 0, **parameters)
    assert [len(shard) for shard in shards] == [1] * 7


@pytest.mark.parametrize("name", sorted(set(BY_LABEL) - {"iid"}))
def test_fewer_samples_than_devices_is_a_fault(name):
    with pytest.raises(Fault, match="5 training samples cannot be placed on 8 devices"):
        PLACEMENTS[name](balanced(5), ring(8), 0)


@given(samples=st.integers(1, 40), more=st.integers(1, 60), seed=st.integers(0, 2**63 - 1))
@settings(max_examples=40, deadline=None)
def test_fewer_samples_than_devices_are_shared_evenly_where_they_are_iid(samples, more, seed):
    labels, devices = balanced(samples), samples + more
    once, again = (placement.iid(labels, ring(devices), seed) for _ in range(2))
    assert [len(shard) for shard in once] == [1] * devices
    assert all(shard.dtype == np.int64 for shard in once)
    np.testing.assert_array_equal(once, again)
    holders = np.bincount(np.concatenate(once), minlength=samples)
    assert holders.max() - holders.min() <= 1
    assert holders.min() >= 1


def test_no_samples_at_all_cannot_be_shared():
    with pytest.raises(Fault, match="0 training samples cannot be placed on 3 devices"):
        placement.iid(balanced(0), ring(3), 0)


@pytest.mark.parametrize("name", BY_LABEL)
def test_labels_need_not_be_consecutive(name):
    labels = np.repeat([3, 70], 20)
    assert_partition(PLACEMENTS[name](labels, ring(4), 0), 40, 4)


def test_the_registry_builds_with_defaults_and_refuses_an_alpha_of_zero():
    section = SimpleNamespace(name="dirichlet", **PLACEMENTS.settings("dirichlet")().model_dump())
    labels = balanced(50)
    built = PLACEMENTS.build(section, labels, ring(4), 3)
    for shard, same in zip(built, placement.dirichlet(labels, ring(4), 3), strict=True):
        np.testing.assert_array_equal(shard, same)
    for alpha in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValidationError):
            PLACEMENTS.settings("dirichlet")(label_alpha=alpha)


def test_sixty_thousand_samples_to_64_devices_in_under_a_second():
    labels = balanced(60_000)
    start = time.perf_counter()
    placement.dirichlet(labels, ring(64), 0, 0.1, 0.1)
    assert time.perf_counter() - start < 1


def test_iid_shares_differ_by_one_sample_at_most():
    shards = placement.iid(balanced(103), ring(10), 0)
    assert sorted(len(shard) for shard in shards) == [10] * 7 + [11] * 3


def test_iid_labels_are_those_of_a_random_split():
    labels = balanced(20_000)
    assert skew(placement.iid(labels, ring(10), 0), labels) < 0.03


def test_small_label_alpha_concentrates_labels_and_large_does_not():
    labels = balanced(20_000)
    skews = [skew(placement.dirichlet(labels, ring(20), 0, a), labels) for a in (1e-6, 0.1, 1, 1e6)]
    assert skews == sorted(skews, reverse=True)
    assert skews[0] > 0.75
    assert skews[-1] < 0.05


def test_one_preferred_class_each_is_granted_where_the_data_allow_it():
    """With tiny alpha a device's room, not a second preference, decides: few labels each."""
    labels = balanced(20_000)
    counts = label_counts(placement.dirichlet(labels, ring(20), 0, 1e-6, 1e6), labels, 10)
    assert (counts > 0).sum(axis=1).mean() < 2.5


def test_large_alphas_equal_the_global_distribution():
    labels = np.repeat(np.arange(4), [40_000, 20_000, 10_000, 10_000])
    counts = label_counts(placement.dirichlet(labels, ring(8), 0, 1e6, 1e6), labels, 4)
    np.testing.assert_allclose(counts, np.tile([5000, 2500, 1250, 1250], (8, 1)), rtol=0.1)


def test_small_sample_alpha_concentrates_samples():
    labels = balanced(20_000)
    sizes = [
        np.sort([len(shard) for shard in placement.dirichlet(labels, ring(20), 0, 1000.0, alpha)])
        for alpha in (1e-6, 1e6)
    ]
    assert sizes[0].tolist() == [1] * 19 + [20_000 - 19]
    assert sizes[1].min() > 980


def one_by_one(labels, devices, alpha, seed):
    """The published sequential form, for equal quotas: the owner of each sample."""
    rng = np.random.default_rng(seed)
    preferences = rng.dirichlet(np.full(labels.max() + 1, alpha), size=devices)
    room = np.full(devices, len(labels) // devices)
    owners = []
    for label in labels:
        weights = preferences[:, label] * (room > 0)
        owners.append(rng.choice(devices, p=weights / weights.sum()))
        room[owners[-1]] -= 1
    return np.array(owners)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1000.0])
def test_label_skew_is_that_of_the_sequential_form(alpha):
    labels = balanced(1000)
    ours, theirs = [], []
    for seed in range(8):
        ours.append(skew(placement.dirichlet(labels, ring(10), seed, alpha, 1e6), labels))
        owners = one_by_one(labels, 10, alpha, seed)
        theirs.append(skew([np.flatnonzero(owners == i) for i in range(10)], labels))
    assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=0.03)


@pytest.mark.parametrize("order", get_args(Centrality))
def test_an_order_gives_the_largest_share_to_the_most_central_device(order):
    topology = topology_of(nx.barabasi_albert_graph(12, 2, seed=0))
    labels = balanced(5000)
    shards = placement.dirichlet(labels, topology, 0, sample_alpha=1.0, order=order)
    sizes = [len(shards[device]) for device in graphs.ranking(topology.graph, order)]
    assert sizes == sorted(sizes, reverse=True)
    anywhere = placement.dirichlet(labels, topology, 0, sample_alpha=1.0)
    assert sorted(sizes) == sorted(len(shard) for shard in anywhere)


def test_an_offset_rotates_the_shares_towards_the_more_central():
    topology = topology_of(nx.path_graph(4))
    topology.graph.add_edge(1, 3)
    labels = balanced(1000)
    ascending = graphs.ranking(topology.graph, "degree")[::-1]
    sizes = {
        offset: np.array(
            [
                len(shard)
                for shard in placement.dirichlet(
                    labels, topology, 0, sample_alpha=1.0, order="degree", offset=offset
                )
            ]
        )[ascending]
        for offset in (0, 1, 3, 4, -1)
    }
    assert (np.diff(sizes[0]) > 0).all()
    np.testing.assert_array_equal(sizes[1], sizes[0][[3, 0, 1, 2]])
    np.testing.assert_array_equal(sizes[3], sizes[0][[1, 2, 3, 0]])
    np.testing.assert_array_equal(sizes[4], sizes[0])
    np.testing.assert_array_equal(sizes[-1], sizes[3])


def test_shards_give_a_device_no_more_classes_than_it_may_have():
    labels = balanced(1000)
    for allowed, least, most in [(1, 100, 100), (2, 100, 100), (3, 99, 102)]:
        shards = placement.shards(labels, ring(10), 0, allowed)
        counts = label_counts(shards, labels, 10)
        assert (counts > 0).sum(axis=1).max() <= allowed
        assert {len(shard) for shard in shards} <= set(range(least, most + 1))


def test_shards_of_an_odd_number_of_samples_are_even_within_a_class():
    labels = np.repeat([0, 1], [31, 31])
    shards = placement.shards(labels, ring(6), 0, 1)
    assert sorted(len(shard) for shard in shards) == [10, 10, 10, 10, 11, 11]


@pytest.mark.parametrize(
    ("devices", "samples", "allowed", "sentence"),
    [
        (4, 100, 2, "2 on 4 devices leaves some of 10 classes out; use 3 or more"),
        (4, 18, 5, "5 on 4 devices cuts 18 samples into 20; use 4 or less"),
    ],
)
def test_shards_that_cannot_be_are_a_fault(devices, samples, allowed, sentence):
    with pytest.raises(Fault, match=sentence):
        placement.shards(balanced(samples), ring(devices), 0, allowed)


def test_label_counts():
    counts = label_counts([np.array([0, 3]), np.array([1, 2])], np.array([2, 0, 0, 2]), 4)
    assert counts.dtype == np.int64
    assert counts.tolist() == [[0, 0, 2, 0], [2, 0, 0, 0]]


@pytest.fixture
def star():
    """Device 2 is the hub; the stored OOD devices are 2, 0, 1, 3."""
    graph = nx.relabel_nodes(nx.star_graph(4), {0: 2, 2: 0})
    return topology_of(graph, published=(2, 0, 1, 3))


@pytest.mark.parametrize(
    ("wanted", "devices"),
    [
        (3, [3]),
        ([4, 0, 4], [0, 4]),
        ("degree:1", [2]),
        ("degree:2", [0]),
        ("betweenness:1", [2]),
        ("closeness:5", [4]),
        ("eigenvector:1", [2]),
        ("published:4", [3]),
        (["degree:1", "published:1", 2, "published:2"], [0, 2]),
        ("random:5", [0, 1, 2, 3, 4]),
    ],
)
def test_sources(star, wanted, devices):
    assert sources(wanted, star, 0) == devices


def test_random_sources_are_distinct_and_decided_by_the_seed(star):
    drawn = [sources("random:2", star, seed) for seed in range(30)]
    assert all(len(set(pair)) == 2 for pair in drawn)
    assert len({tuple(pair) for pair in drawn}) > 5
    assert sources("random:2", star, 7) == drawn[7]
    assert all(isinstance(device, int) for device in drawn[0])


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (5, "ood.sources = 5: must be a device of the graph, 0 to 4"),
        (-1, "ood.sources = -1: must be a device of the graph, 0 to 4"),
        ([0, 10**30], "must be a device of the graph, 0 to 4"),
        ("degree:6", "ood.sources = 'degree:6': the number must be 1 to 5"),
        ("random:0", "ood.sources = 'random:0': the number must be 1 to 5"),
        ("random:6", "the number must be 1 to 5"),
        ("published:5", "ood.sources = 'published:5': the number must be 1 to 4"),
        ("hub:1", "ood.sources = 'hub:1': must be a device number or 'NAME:NUMBER'"),
        ("degree", "ood.sources = 'degree': must be a device number or 'NAME:NUMBER'"),
        ("degree:", "such as 'degree:1'"),
        ("degree:-1", "such as 'degree:1'"),
        ("degree:1.5", "such as 'degree:1'"),
        ("degree: 1", "such as 'degree:1'"),
        ("degree:1\n", "such as 'degree:1'"),
        ("degree:" + "9" * 5000, "such as 'degree:1'"),
        ("degree:\u0663", "such as 'degree:1'"),
        ("3", "must be a device number or 'NAME:NUMBER'"),
        ("", "must be a device number or 'NAME:NUMBER'"),
        ([], "must name at least one device"),
    ],
)
def test_impossible_sources_are_a_fault(star, wanted, sentence):
    with pytest.raises(Fault) as fault:
        sources(wanted, star, 0)
    assert sentence in str(fault.value)


def test_published_sources_need_a_graph_that_stores_them():
    with pytest.raises(Fault, match="the graph stores no published OOD devices"):
        sources("published:1", ring(4), 0)


@pytest.mark.parametrize("name", get_args(Centrality))
def test_the_centralities_named_here_exist(name):
    assert sorted(graphs.ranking(ring(4).graph, name)) == [0, 1, 2, 3]


@given(st.integers(1, 40), st.integers(1, 40))
def test_hosts_differ_by_one_device_at_most(devices, ranks):
    if ranks > devices:
        return
    for wanted in ("blocks", "round_robin"):
        rank_of = hosts(wanted, devices, ranks)
        assert rank_of.dtype == np.int64
        assert rank_of.shape == (devices,)
        assert np.ptp(np.bincount(rank_of, minlength=ranks)) <= 1
    assert (np.diff(hosts("blocks", devices, ranks)) >= 0).all()
    assert hosts("round_robin", devices, ranks).tolist() == [i % ranks for i in range(devices)]


def test_hosts_of_33_devices_on_two_ranks():
    assert hosts("blocks", 33, 2).tolist() == [0] * 17 + [1] * 16


def test_hosts_may_be_listed():
    listed = hosts([1, 0, 0, 2], 4, 3)
    assert listed.dtype == np.int64
    assert listed.tolist() == [1, 0, 0, 2]


@pytest.mark.parametrize(
    ("wanted", "devices", "ranks", "sentence"),
    [
        ("blocks", 8, 9, "9 ranks are too many: each needs a device, and the graph has 8."),
        ([0] * 8, 8, 9, "9 ranks are too many: each needs a device, and the graph has 8."),
        ([0, 1], 3, 2, "placement.hosts lists 2 ranks; must list 3, one for each device."),
        ([0, 1, 2], 3, 2, "placement.hosts puts device 2 on rank 2; must be 0 to 1."),
        ([0, 1, 10**30], 3, 2, "must be 0 to 1."),
        ([0, 0, 0], 3, 3, "placement.hosts leaves rank 1 without a device; every rank needs one."),
    ],
)
def test_impossible_hosts_are_a_fault(wanted, devices, ranks, sentence):
    with pytest.raises(Fault) as fault:
        hosts(wanted, devices, ranks)
    assert sentence in str(fault.value)


@pytest.mark.parametrize(
    ("owners", "devices", "want"),
    [
        ([2, 0, 1, 0], 3, [[1, 3], [2], [0]]),
        ([7, 0, 7, 9, 30], 3, [[1, 4], [0, 2], [3]]),
        ([5, 6, 7, 8, 9], 2, [[0, 2, 4], [1, 3]]),
    ],
    ids=["devices", "users", "more users"],
)
def test_given_samples_live_where_they_belong(owners, devices, want):
    shards = placement.given(np.array(owners), ring(devices), 0)
    assert [shard.tolist() for shard in shards] == want
    assert_partition(shards, len(owners), devices)


@pytest.mark.parametrize("owners", [[0, 2, 2], [5, 6], []])
def test_a_device_to_which_nothing_belongs_is_a_fault(owners):
    with pytest.raises(Fault, match=r"placement\.name = 'given': "):
        placement.given(np.array(owners, dtype=np.int64), ring(3), 0)
