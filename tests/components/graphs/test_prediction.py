"""What graph and weights let expect, as values and in words."""

import itertools
import json

import networkx as nx
import numpy as np
import pytest

from mpidl.components.graphs import prediction
from mpidl.preview import forecast
from mpidl.preview.facts import Facts, Weighed


def equal(graph):
    matrix = nx.to_numpy_array(graph, weight=None).T + np.eye(len(graph))
    return matrix / matrix.sum(axis=1, keepdims=True)


def test_a_star_spreads_fastest_from_its_center():
    # Leaves reach the center in 2 rounds; a leaf is reached in 3 N - 4 from the center and in
    # 3 N - 2 from the N - 2 other leaves. See tests/components/graphs/test_passage.py.
    found = prediction.of_weights(equal(nx.star_graph(4)), [1])
    assert found["fastest"] == 0
    assert found["passage"] == pytest.approx([11, 0, 13, 13, 13])
    assert found["passage_worst"] == pytest.approx([2, 13, 13, 13, 13])
    assert found["passage_mean"] == pytest.approx([2, *[12.5] * 4])
    told = forecast.knowledge(Weighed(**found), [1])
    assert told[1].endswith(
        "knowledge of the sources reaches a device: 12.5 on average, 13 at most"
    )
    assert told[2] == (
        "knowledge spreads fastest from device 0: predicted 2 rounds on average, 2 at most"
    )


def test_equal_devices_are_not_told_apart_by_rounding():
    ring = equal(nx.cycle_graph(15))
    assert prediction.of_weights(ring, [])["fastest"] == 0
    assert prediction.of_rounds(itertools.repeat(ring), 15, [])["fastest"] == 0
    first = prediction.fastest_first(np.array([np.inf, 1 + 1e-15, 1]), np.array([np.inf, 2, 2]))
    assert first == [1, 2, 0]


def test_what_never_arrives_is_none_and_said():
    found = json.loads(json.dumps(prediction.of_weights(np.eye(3), [0]), allow_nan=False))
    assert found["passage"] == [0, None, None]
    assert found["fastest"] is None
    told = forecast.knowledge(Weighed(**found), [0])
    assert told[1] == "knowledge of the sources never reaches 2 of 3 devices"
    assert told[2] == "from no device does knowledge reach all others"


def test_sources_everywhere_or_nowhere_say_nothing_of_arrival():
    matrix = equal(nx.path_graph(2))
    for sources in ([], [0, 1]):
        told = forecast.knowledge(Weighed(**prediction.of_weights(matrix, sources)), sources)
        assert not any("reaches a device" in sentence for sentence in told)
    assert len(forecast.knowledge(Weighed(**prediction.of_weights(np.eye(1), [0])), [0])) == 1


def narrow(graph):
    told = {"name": "", "links": graph.number_of_edges(), "components": 1}
    told |= {"devices": len(graph), "notes": [], "names": [], "sources": []}
    return forecast.narrow(Facts(**told, **prediction.of_graph(graph)))


def test_communities_and_bridges_in_words():
    (told,) = narrow(nx.to_directed(nx.barbell_graph(4, 0)))
    assert told == "2 communities of 4, 4 devices, modularity 0.423; one bridge: 3-4"
    (told,) = narrow(nx.to_directed(nx.path_graph(12)))
    assert told.endswith("11 bridges: 0-1, 1-2, 2-3, 3-4, 4-5, 5-6, 6-7, 7-8 and 3 more")
    (told,) = narrow(nx.to_directed(nx.complete_graph(3)))
    assert told == "one community of 3 devices, modularity 0.000; no bridge"
    (told,) = narrow(nx.empty_graph(2, create_using=nx.DiGraph))
    assert told == "2 communities of 1, 1 devices; no bridge"


def test_too_many_links_leave_communities_out(monkeypatch):
    monkeypatch.setattr(prediction, "MERGED", 5)
    ring = nx.to_directed(nx.cycle_graph(6))
    assert prediction.of_graph(ring) == {}
    assert narrow(ring) == ["communities and bridges are not sought beyond 5 links"]


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "never"), (2.0, "2"), (12.345, "12.3"), (1234.5, "1,234"), (1.5e7, "1.5e+07")],
)
def test_rounds_in_three_digits(value, told):
    assert forecast.rounds(value) == told


def test_one_matrix_in_every_round_says_what_it_says_alone():
    """Of a symmetric W the disagreement after r rounds is exactly lambda_2^r."""
    star = np.eye(5) - nx.laplacian_matrix(nx.star_graph(4)).toarray() / 5
    alone = prediction.of_weights(star, [1, 3])
    found = prediction.of_rounds(itertools.repeat(star), 5, [1, 3])
    assert found["spectral_gap"] == pytest.approx(1 - 4 / 5, rel=1e-6)
    assert found["agreed"] is None
    for key in ("passage", "passage_worst", "passage_mean"):
        assert found[key] == pytest.approx(alone[key], rel=1e-6)
    assert found["fastest"] == alone["fastest"] == 0
    assert found["stationary"] == pytest.approx([1 / 5] * 5)


def test_rounds_that_agree_exactly():
    """Two pairings of four devices in turn: the mean of all after both."""
    pairs = [np.kron(np.eye(2), np.full((2, 2), 0.5)), np.kron(np.full((2, 2), 0.5), np.eye(2))]
    found = prediction.of_rounds(itertools.cycle(pairs), 4, [0])
    assert (found["agreed"], found["spectral_gap"]) == (2, 1.0)
    known, missed = np.array([1.0, 0, 0, 0]), np.zeros(4)
    for matrix in itertools.islice(itertools.cycle(pairs), 500):
        missed += 1 - known
        known = matrix @ known
        known[0] = 1
    assert found["passage"] == pytest.approx(missed, rel=1e-6)


def test_rounds_without_links_never_agree():
    found = prediction.of_rounds(itertools.repeat(np.eye(3)), 3, [0])
    assert found["spectral_gap"] == pytest.approx(0)
    assert (found["agreed"], found["passage"], found["fastest"]) == (None, [0, None, None], None)
    followed = "in the 200 rounds that are followed"
    assert forecast.knowledge(Weighed(**found), [0]) == [
        f"knowledge of the sources does not reach 2 of 3 devices {followed}",
        f"from no device does knowledge reach all others {followed}",
    ]
    assert forecast.rounds(None, found["followed"]) == ">200"


def test_knowledge_that_takes_longer_than_is_followed_is_told_from_how_it_slows_down():
    """Around a ring of 33 a fair walk that rests every third round takes 1.5 d (33 - d) rounds."""
    matrix = equal(nx.cycle_graph(33))
    found = prediction.of_rounds(itertools.repeat(matrix), 33, [0])
    assert found["followed"] == prediction.ROUNDS
    assert found["passage"] == pytest.approx([1.5 * d * (33 - d) for d in range(33)], rel=0.05)
