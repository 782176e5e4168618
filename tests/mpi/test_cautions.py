"""What a run is warned of, and that it is so."""

import numpy as np
import pytest
import torch

from mpidl.components.algorithms import ALGORITHMS
from mpidl.plan import warnings
from mpidl.ranks import sharing
from tests.proof import laboratory
from tests.proof.mixing import MH, ONE_WAY
from tests.proof.optima import DEVICES, REST, drawn

FEW = "topology.name=star", f"topology.devices={DEVICES}"
"""Seven devices that hear one other, and one that hears them all."""


@pytest.fixture(autouse=True)
def alone(comm):
    if comm.size > 1:
        pytest.skip("says the same on any number of ranks")


@pytest.mark.parametrize("name", sorted(n for n in ALGORITHMS if ALGORITHMS[n]().doubly))
def test_corrections_by_an_uneven_w_find_the_optimum_weighted_by_influence(comm, name):
    """At rest devices agree on x with ``p' s(x) = 0``, where ``p' W = p'``."""
    problem, settings = drawn(0.1), (*FEW, "strategy.name=unweighted", f"algorithm.name={name}")
    course = laboratory.run(comm, problem.learning(), *settings, rounds=600, looks=[600])
    share = course.plan.influence(course.plan.matrix())
    moved = share[:, None, None] * problem.moved
    point = np.linalg.solve(moved.sum(axis=0), np.einsum("npq,nq->p", moved, problem.minima))
    assert np.abs(course.models[-1] - point).max() < REST
    assert np.abs(point - problem.optimum()).max() > 0.01
    (told,) = warnings.of(course.plan)
    assert told.startswith(f"{name} needs a doubly stochastic W, which this W is not: it leads")
    assert "weighted by influence" in told


def test_exact_diffusion_runs_away_as_fast_as_is_told(comm):
    settings = ONE_WAY, "strategy.name=sinkhorn", "algorithm.name=exact_diffusion"
    course = laboratory.run(comm, drawn(0.001).learning(), *settings, rounds=200, looks=[100, 200])
    sizes = [np.linalg.norm(models - models.mean(axis=0)) for models in course.models]
    (told,) = warnings.of(course.plan)
    growth = (sizes[-1] / sizes[-2]) ** (1 / 100)
    assert "exact_diffusion does not settle by this W" in told
    assert f"grows by a factor of up to {growth:.2f} a round" in told


def test_d2_does_not_settle_on_an_even_ring(planned):
    """Its lowest eigenvalue is 1/3 - 2/3."""
    settings = MH, "algorithm.name=exact_diffusion", "algorithm.lazy=0"
    (told,) = warnings.of(planned("topology.name=ring", "topology.devices=8", *settings))
    assert "grows by a factor of up to 1 a round" in told
    assert warnings.of(planned("topology.name=ring", "topology.devices=9", *settings)) == []


@pytest.mark.parametrize(
    "settings",
    [
        (MH, "algorithm.name=exact_diffusion"),
        ("strategy.name=sinkhorn", "algorithm.name=gradient_tracking"),
        ("topology.link_probability=0.9", MH, "algorithm.name=gradient_tracking"),
        ("strategy.name=unweighted",),
        ("strategy.name=trimmed_mean", "topology.name=ring"),
        ("strategy.name=krum", "topology.name=complete"),
    ],
)
def test_what_goes_well_is_not_mentioned(planned, settings):
    assert warnings.of(planned(*FEW, *settings)) == []


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            ("strategy.name=unweighted", "topology.link_probability=0.9"),
            "it need not lead to the optimum of all losses",
        ),
        (("strategy.name=median",), "it need not lead to the optimum of all losses"),
    ],
)
def test_weights_that_change_or_are_not_known_may_lead_elsewhere(planned, settings, sentence):
    told = warnings.of(planned(*FEW, *settings, "algorithm.name=gradient_tracking"))
    assert sentence in told[-1]


@pytest.mark.parametrize(
    ("settings", "sentences"),
    [
        (
            ("strategy.name=trimmed_mean",),
            ["trimmed_mean needs neighborhoods of 3 for strategy.liars = 1, the device itself "
             "among them, and 7 of 8 devices have smaller ones: there it takes the median"],
        ),
        (("strategy.name=trimmed_mean", "strategy.liars=4"), ["8 of 8 devices have smaller"]),
        (("strategy.name=median",), ["median needs neighborhoods of 3, the device itself"]),
        (("strategy.name=krum", "strategy.liars=2"), ["neighborhoods of 7"]),
        (
            ("strategy.name=krum", "strategy.selected=2"),
            ["neighborhoods of 5", "7 of 8 devices have no more: there that is the mean of all"],
        ),
        (
            ("strategy.name=trimmed_mean", "attack.name=noise", "attack.devices=[1, 2]"),
            ["neighborhoods of 3", "1 of 8 devices has more attackers in the neighborhood than"],
        ),
        (
            ("strategy.name=median", "topology.name=random_matching"),
            ["8 of 8 devices have smaller ones in the first round: there"],
        ),
    ],
)  # fmt: skip
def test_rules_are_not_trusted_in_small_neighborhoods(planned, settings, sentences):
    for told, sentence in zip(warnings.of(planned(*FEW, *settings)), sentences, strict=True):
        assert sentence in told


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        # A leaf gives the center 1/2 and keeps 1/2; the center gives 1/9 each, so 4.5 m_leaf = m.
        (("topology.devices=9", "strategy.name=unweighted"), "masses are 0.72 (device 1) to 3.24 "
         "in the long run, and steps are divided by them: up to 1.39 times as long"),
        (("strategy.name=unweighted", "algorithm.steps=by_mass"), "by which steps count"),
        (("strategy.name=degree",), "as long; take a smaller training.lr, or algorithm.steps"),
        ((MH,), "push_sum: all masses are 1 in the long run"),
    ],
)  # fmt: skip
def test_the_masses_of_push_sum_are_told(planned, settings, sentence):
    (told,) = warnings.of(planned(*FEW, *settings, "algorithm.name=push_sum"))
    assert told.endswith(sentence) or sentence in told


def test_a_run_is_warned_before_its_first_round(program, capsys):
    program("strategy.name=krum", "topology.devices=4", "training.rounds=1")
    said = capsys.readouterr().out
    assert said.index("krum needs neighborhoods of 5") < said.index("round 1/1")


def test_ranks_that_share_an_accelerator_are_told_that_fewer_are_faster(planned):
    assert warnings.crowded(planned(), 1) == []
    (told,) = warnings.crowded(planned(), 8)
    assert told.startswith("8 ranks share an accelerator")
    assert told.endswith("devices at once")
    (told,) = warnings.crowded(planned("training.batched=no"), 8)
    assert told.endswith("at once where training.batched is 'auto'")


@pytest.mark.parametrize(
    ("kind", "found", "mask", "want"),
    [("cuda", 1, None, 5), ("cuda", 2, None, 3), ("xpu", 6, "0,1", 1), ("cuda", 1, "3", 1),
     ("cpu", 0, None, 1)],
)  # fmt: skip
def test_what_will_be_shared_is_foreseen_but_behind_a_mask(monkeypatch, kind, found, mask, want):
    for module in (torch.cuda, torch.xpu):
        monkeypatch.setattr(module, "device_count", lambda: found)
    for name in sharing.MASKS:
        monkeypatch.delenv(name, raising=False)
        if mask is not None:
            monkeypatch.setenv(name, mask)
    assert sharing.expected_sharers(5, kind) == want


def test_a_check_tells_it_too(planned, checked, monkeypatch):
    monkeypatch.setattr(sharing, "expected_sharers", lambda ranks, kind: 4 * ranks)
    assert "4 ranks share an accelerator" in checked(planned(*FEW), False)
