"""Runs whose weights follow from the vectors that arrive, against the same rounds in numpy."""

from itertools import product

import networkx as nx
import numpy as np
import pytest

from tests.mpi.dense import followed

pytestmark = pytest.mark.dealt

CENTRALITY = {
    "degree_similarity": nx.degree_centrality,
    "betweenness_similarity": lambda graph: nx.betweenness_centrality(graph, endpoints=True),
}


# With tensors of three dimensions.
VIT = ("model.name=vit", "model.width=8", "model.heads=2", "model.layers=1", "model.hidden=8")


def cosine(a, b):
    lengths = np.maximum(np.linalg.norm(a, axis=1), 1e-8) * np.maximum(
        np.linalg.norm(b, axis=1), 1e-8
    )
    return np.mean(np.sum(a * b, axis=1) / lengths)


def cut(vector, shapes):
    parts = np.split(vector, np.cumsum([np.prod(shape) for shape in shapes]))
    return [
        part.reshape(shape if len(shape) > 1 else (-1, 1))
        for part, shape in zip(parts, shapes, strict=False)
    ]


def mixed_by_hand(graph, values, coefficient, readable, shapes):
    """One round as the definition says, device by device.

    Args:
        graph: Of the round.
        values: The centrality of each device.
        coefficient: One over the temperature.
        readable: ``readable(i, j)`` is the vector of j as i reads it.
        shapes: Of the model's parameters.
    """
    found, signs = [], set()
    for device in sorted(graph):
        neighbors = sorted(graph.predecessors(device))
        own = cut(readable(device, device), shapes)
        similar = [
            np.mean(
                [cosine(*pair) for pair in zip(own, cut(readable(device, j), shapes), strict=True)]
            )
            for j in neighbors
        ]
        sign = 1
        if neighbors and values[neighbors[np.argmin(similar)]] < values[device]:
            sign = -1
        members = [device, *neighbors]
        weights = np.exp(sign * coefficient * np.array([values[j] for j in members]))
        vectors = [readable(device, j) for j in members]
        found.append(np.average(vectors, axis=0, weights=weights))
        signs.add(sign)
    return np.array(found), signs


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("degree_similarity", ("placement.hosts=round_robin", "strategy.temperature=-0.1")),
        ("degree_similarity", ("exchange.mixing=delayed",)),
        ("degree_similarity", VIT),
        ("betweenness_similarity", ("topology.link_probability=0.5",)),
        ("betweenness_similarity", ("training.participation=0.6", "schedule.name=exponential")),
    ],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)
def test_rounds_are_those_of_the_definition(comm, parts, monkeypatch, name, settings):
    devices = comm.size + 5
    with parts(
        f"topology.devices={devices}",
        "topology.name=barabasi_albert",
        f"strategy.name={name}",
        "training.rounds=3",
        *settings,
    ) as made:
        trained, mixed = followed(comm, made, monkeypatch)
        shapes = [p.shape for p in next(iter(made.devices.values())).model.parameters()]
        plan = made.plan
    late = plan.file.exchange.mixing == "delayed"
    values, signs = CENTRALITY[name](plan.graph.to_undirected()), set()
    for round_, (vectors, found) in enumerate(zip(trained, mixed, strict=True)):
        ago = trained[round_ - 1] if late and round_ > 0 else vectors
        coefficient = 10 * (0.95**round_ if plan.file.schedule.name == "exponential" else 1)
        want, turned = mixed_by_hand(
            plan.round_graph(round_),
            values,
            coefficient,
            lambda i, j, now=vectors, ago=ago: now[i] if i == j else ago[j],
            shapes,
        )
        np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)
        signs |= turned
    assert signs == {-1, 1}


def test_every_backend_gives_the_same_bits(comm, program):
    wanted = [
        f"topology.devices={comm.size + 3}",
        "topology.name=star",
        "topology.link_probability=0.6",
        "strategy.name=betweenness_similarity",
        "training.steps=1",
    ]
    first, *others = (
        program(*wanted, f"exchange.backend={backend}", name=backend)
        for backend in ("shared", "mpi", "gloo")
    )
    for found, key in product(others, first):
        if key.startswith("series/") and not key.startswith(("series/seconds_", "series/bytes_")):
            assert found[key].tobytes() == first[key].tobytes(), key


def test_nothing_is_stored_of_what_nobody_knows_before_the_run(comm, program):
    found = program(f"topology.devices={comm.size + 3}", "strategy.name=betweenness_similarity")
    assert found["completed"] == 1
    stored = {key for key in found if key.startswith("graph/")}
    assert stored.isdisjoint({"graph/W", "graph/stationary", "graph/eigenvalue"})
    assert {"graph/edges", "graph/centrality", "graph/hops"} <= stored
    known = nx.betweenness_centrality(nx.cycle_graph(comm.size + 3), endpoints=True)
    np.testing.assert_allclose(found["graph/centrality"], list(known.values()))
    assert np.isfinite(found["series/iid_accuracy_mixed"]).all()
    assert (found["series/seconds_mix"] > 0).all()


@pytest.mark.parametrize("as_json", [False, True])
def test_a_check_says_what_nobody_knows(comm, planned, checked, as_json):
    made = planned(f"topology.devices={comm.size}", "strategy.name=degree_similarity")
    found = checked(made, as_json)
    if comm.rank != 0:
        return
    if as_json:
        assert found["devices"] == comm.size
        assert {"weights", "spectral_gap", "stationary"}.isdisjoint(found)
    else:
        assert "degree_similarity weights follow from the vectors that arrive: before" in found
        assert "device  rank  samples (OOD)\n" in found
