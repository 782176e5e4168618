"""Gossip by itself, of what a run file says of mixing, against the same rounds of a run."""

import numpy as np
import pytest
import torch

from mpidl import plan
from mpidl.devices import mixers
from mpidl.devices.gossip import LocalGossip
from mpidl.exchange import BACKENDS
from mpidl.ranks.node import Node
from mpidl.run import build
from tests.proof import laboratory

TURNS = 3


def alone(comm, learning, *settings):
    """Models of own devices after some rounds without plan, data and training; and who mixed."""
    run = laboratory.planned(comm, len(learning.start), *settings)
    mixing = plan.make_mixing(run.file.mixing, run.topology, run.hosts)
    own = {n: laboratory.Learner(n, learning) for n in mixing.hosted(comm.rank)}
    node, some = Node(comm), next(iter(own.values()))
    wiring = build.wired(node, mixing, some, torch.device("cpu"), torch.float64)
    exchange = BACKENDS["auto"](wiring)
    gossip = LocalGossip(comm, mixing, own, exchange)
    for round_ in range(TURNS):
        gossip.begin([*own])
        gossip.give(round_, [True] * len(own))
        gossip.decide(round_)
        gossip.arrive(round_)
        gossip.share()
        gossip.mix(round_)
    found = {number: device.vector.numpy().copy() for number, device in own.items()}
    exchange.close()
    node.close()
    return found, type(gossip._mixer), type(gossip._weights)


@pytest.mark.parametrize(
    ("settings", "mixer", "weights"),
    [
        ("strategy.name=degree", mixers.ByExchange, mixers.Weights),
        ("strategy.name=degree_similarity", mixers.ByExchange, mixers.Looked),
        ("network.delay=2", mixers.ByHand, mixers.Weights),
        ("strategy.name=krum network.delay=1", mixers.ByHand, mixers.Looked),
        ("strategy.name=median attack.name=sign_flip", mixers.ByHand, mixers.Combined),
        ("algorithm.name=choco", mixers.ByAlgorithm, mixers.Weights),
    ],
)
def test_who_mixes_is_chosen_once_and_mixes_as_in_a_run(comm, settings, mixer, weights):
    start = np.random.default_rng(3).normal(size=(comm.size + 3, 7))
    learning, given = laboratory.Learning(start), settings.split()
    found, *kinds = alone(comm, learning, *given)
    assert kinds == [mixer, weights]
    want = laboratory.run(comm, learning, *given, rounds=TURNS).models[-1]
    for number, model in found.items():
        np.testing.assert_array_equal(model, want[number])
