"""Mixing matrices that are made again from a results file are those of its rounds."""

import numpy as np
import pytest

import mpidl
from mpidl import Fault, Gossip

ROUNDS = 4
MATRIX = np.array([[0.6, 0.5, -0.1], [0.5, 0.0, 0.5], [-0.1, 0.5, 0.6]])
RING = {"name": "ring", "link_probability": 0.5}
TWO = "# devices: 3\n# round: 0\n0 1\n# round: 1\n1 2\n"


def own(comm, devices):
    """Numbers of the devices of this rank."""
    return {i: np.full(2, float(i)) for i in range(devices) if i % comm.size == comm.rank}


@pytest.fixture
def recorded(comm, shared_path):
    """As ``recorded(devices, **arguments)``: the file of a loop, and W of each of its rounds."""

    def loop(devices, **arguments):
        path, found = shared_path / "loop.h5", []
        with Gossip(own(comm, devices), out=path, communicator=comm, **arguments) as gossip:
            for _ in range(ROUNDS):
                found.append(gossip._parts.mixing.matrix(gossip.round))
                gossip.mix()
        comm.Barrier()
        return path, found

    return loop


@pytest.mark.ranks(1, 2, 3)
@pytest.mark.parametrize(
    ("devices", "arguments"),
    [
        (6, {"topology": "matcha", "strategy": "given", "rounds": ROUNDS}),
        (6, {"topology": "one_peer_exponential"}),
        (5, {"topology": RING, "participation": 0.6, "strategy": "random"}),
        (5, {"schedule": {"name": "cosine", "period": 3}, "strategy": "degree"}),
        (3, {"strategy": MATRIX}),
        (4, {"algorithm": "push_sum", "topology": "star", "strategy": "unweighted"}),
    ],
    ids=["matcha", "one peer", "links that fail", "a schedule", "a matrix", "push-sum"],
)
def test_each_round_has_the_weights_that_it_was_mixed_by(recorded, devices, arguments):
    path, rounds = recorded(devices, **arguments)
    for round_, matrix in enumerate(rounds):
        np.testing.assert_array_equal(mpidl.weights(path, round_), matrix)


@pytest.mark.ranks(1, 2)
def test_a_graph_file_that_is_another_by_now_is_refused(comm, recorded, shared_path):
    file = shared_path / "mine.edges"
    if comm.rank == 0:
        file.write_text(TWO)
    comm.Barrier()
    path, rounds = recorded(3, topology=file, strategy="unweighted", rounds=ROUNDS)
    np.testing.assert_array_equal(mpidl.weights(path, 1), rounds[1])
    comm.Barrier()
    if comm.rank == 0:
        file.write_text(TWO.replace("1 2", "0 2"))
    comm.Barrier()
    with pytest.raises(Fault, match=r"makes another graph today than in this run"):
        mpidl.weights(path, 1)


@pytest.mark.ranks(1)
def test_rounds_and_strategies_without_weights_are_refused(recorded):
    path, _ = recorded(4, rounds=ROUNDS)
    with pytest.raises(Fault, match=r"round = 4: the run in .* has 4 rounds, from 0 on"):
        mpidl.weights(path, 4)
    with Gossip(
        {i: np.ones(2) for i in range(3)}, strategy="median", out=path, overwrite=True
    ) as one:
        one.mix()
    with pytest.raises(Fault, match=r"weights of strategy 'median' follow from models"):
        mpidl.weights(path)


@pytest.mark.ranks(1)
def test_code_of_its_own_is_named_and_not_loaded(recorded, tmp_path):
    source = tmp_path / "ideas.py"
    source.write_text(
        "def even(view, /):\n    return [1 / len(view.members)] * len(view.members)\n"
    )
    path, rounds = recorded(4, strategy=f"{source}:even", rounds=ROUNDS)
    np.testing.assert_array_equal(mpidl.weights(path, 1, use=str(source)), rounds[1])
