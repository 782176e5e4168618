"""What follows from a run file: whose steps count for how much."""

from dataclasses import replace

import numpy as np
import pytest

from mpidl import plan
from mpidl.config.faults import Fault
from mpidl.preview import estimates


def made(*settings):
    given = ["topology.devices=12", "strategy.name=degree", *settings]
    return plan.make(plan.read(None, given, 1), 1)


def test_steps_of_push_sum_count_alike_or_by_settled_masses():
    """``m' D^-1 A D = m'`` for ``A m = m`` and D = diag(m), as columns of A sum to 1."""
    alike, by_mass = (
        made("algorithm.name=push_sum", f"algorithm.steps={steps}")
        for steps in ("alike", "by_mass")
    )
    assert alike.influence(alike.matrix()) == pytest.approx(1 / 12)
    found = by_mass.influence(by_mass.matrix())
    assert found == pytest.approx(found @ by_mass.settled(by_mass.matrix()), abs=1e-12)
    assert found.sum() == pytest.approx(1)
    assert np.ptp(found) > 0.1


def test_sparse_and_dense_ways_tell_the_same_influence(monkeypatch):
    run = made("algorithm.name=push_sum", "algorithm.steps=by_mass")
    dense = estimates.weighed(run)
    monkeypatch.setattr("mpidl.plan.gossip_plan.SPECTRUM", 2)
    sparse = estimates.weighed(run)
    assert sparse.moduli is None
    assert sparse.stationary == pytest.approx(dense.stationary, abs=1e-8)
    assert sparse.spectral_gap == pytest.approx(dense.spectral_gap, abs=1e-8)


def test_gossip_needs_neither_data_nor_a_model():
    run = made("topology.link_probability=0.5", "training.participation=0.5", "attack.name=noise")
    mixing = plan.make_mixing(run.file.mixing, run.topology, run.hosts)
    assert type(mixing) is plan.Mixing
    assert mixing.attackers == run.attackers
    for round_ in (0, 3):
        np.testing.assert_array_equal(mixing.matrix(round_), run.matrix(round_))


def test_gossip_refuses_what_a_run_refuses():
    tree = ["algorithm.name=relay_sum", "topology.name=chain", "strategy.name=unweighted"]
    run, relayed = made("topology.name=ring", "strategy.name=unweighted"), made(*tree)
    settings = replace(run.file.mixing, algorithm=relayed.file.algorithm)
    with pytest.raises(Fault, match="needs a tree whose links go both ways"):
        plan.make_mixing(settings, run.topology, run.hosts)


def test_a_plan_that_knows_samples_leaves_the_one_before_as_it_was():
    before = made("strategy.name=weighted", "topology.name=star")
    after = replace(before, samples=tuple(range(1, 13)))
    np.testing.assert_allclose(after.matrix()[3, [3, 0]], [4 / 5, 1 / 5])
    with pytest.raises(Fault, match="needs training samples"):
        before.matrix()
