"""Mixing matrices that are made again from a results file are those of its rounds."""

import numpy as np
import pytest

import mpidl
from mpidl import Fault, Gossip

ROUNDS = 4
MATRIX = np.stack([np.roll([0.4, 0.4, -0.1, 0, -0.1, 0.4], i) for i in range(6)])
RING = {"name": "ring", "link_probability": 0.5}
TWO = "# devices: 6\n# round: 0\n0 1\n2 3\n4 5\n# round: 1\n1 2\n3 4\n5 0\n"


def own(comm):
    """Numbers of the devices of this rank, of six."""
    return {i: np.full(2, float(i)) for i in range(6) if i % comm.size == comm.rank}


@pytest.fixture
def recorded(comm, shared_path):
    """As ``recorded(**arguments)``: the file of a loop, and W of each of its rounds."""

    def loop(**arguments):
        path, found = shared_path / "loop.h5", []
        with Gossip(own(comm), out=path, communicator=comm, **arguments) as gossip:
            for _ in range(ROUNDS):
                found.append(gossip._parts.mixing.matrix(gossip.round))
                gossip.mix()
        comm.Barrier()
        return path, found

    return loop


@pytest.mark.parametrize(
    "arguments",
    [
        {"topology": "matcha", "strategy": "given", "rounds": ROUNDS},
        {"topology": "one_peer_exponential"},
        {"topology": RING, "participation": 0.6, "strategy": "random"},
        {"schedule": {"name": "cosine", "period": 3}, "strategy": "degree"},
        {"strategy": MATRIX},
        {"algorithm": "push_sum", "topology": "star", "strategy": "unweighted"},
    ],
    ids=["matcha", "one peer", "links that fail", "a schedule", "a matrix", "push-sum"],
)
def test_each_round_has_the_weights_that_it_was_mixed_by(recorded, arguments):
    path, rounds = recorded(**arguments)
    for round_, matrix in enumerate(rounds):
        np.testing.assert_array_equal(mpidl.weights(path, round_), matrix)


def test_a_graph_file_that_is_another_by_now_is_refused(comm, recorded, shared_path):
    file = shared_path / "mine.edges"
    if comm.rank == 0:
        file.write_text(TWO)
    comm.Barrier()
    path, rounds = recorded(topology=file, strategy="unweighted", rounds=ROUNDS)
    np.testing.assert_array_equal(mpidl.weights(path, 1), rounds[1])
    comm.Barrier()
    if comm.rank == 0:
        file.write_text(TWO.replace("1 2", "0 2"))
    comm.Barrier()
    with pytest.raises(Fault, match=r"makes another graph today than in this run"):
        mpidl.weights(path, 1)


def test_rounds_and_strategies_without_weights_are_refused(comm, recorded):
    path, _ = recorded(rounds=ROUNDS)
    with pytest.raises(Fault, match=r"round = 4: the run in .* has 4 rounds, from 0 on"):
        mpidl.weights(path, 4)
    comm.Barrier()
    with Gossip(own(comm), strategy="median", out=path, overwrite=True) as one:
        one.mix()
    comm.Barrier()
    with pytest.raises(Fault, match=r"weights of strategy 'median' follow from models"):
        mpidl.weights(path)


def test_code_of_its_own_is_named_and_not_loaded(comm, recorded, shared_path, forget):
    source = shared_path / "ideas.py"
    if comm.rank == 0:
        source.write_text(
            "def even(view, /):\n    return [1 / len(view.members)] * len(view.members)\n"
        )
    comm.Barrier()
    path, rounds = recorded(strategy=f"{source}:even", rounds=ROUNDS)
    forget()
    with pytest.raises(Fault, match=r"^The run used ideas.py, code of its user's own"):
        mpidl.weights(path)
    np.testing.assert_array_equal(mpidl.weights(path, 1, use=str(source)), rounds[1])
