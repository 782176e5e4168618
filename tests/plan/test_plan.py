"""What follows from a run file: whose steps count for how much."""

import numpy as np
import pytest

from mpidl import plan
from mpidl.preview import facts


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
    dense = facts.weighed(run)
    monkeypatch.setattr("mpidl.plan.plans.SPECTRUM", 2)
    sparse = facts.weighed(run)
    assert "moduli" not in sparse
    assert sparse["stationary"] == pytest.approx(dense["stationary"], abs=1e-8)
    assert sparse["spectral_gap"] == pytest.approx(dense["spectral_gap"], abs=1e-8)
