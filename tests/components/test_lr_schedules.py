"""Factors of the learning rate as rounds pass."""

import math
import warnings

import pytest
import torch

from mpidl import plan
from mpidl.components import lr_schedules
from mpidl.components.lr_schedules import LR_SCHEDULES
from mpidl.config import runfile
from mpidl.config.faults import Fault


def section(name="cosine", of_run=10, **settings):
    tables = {"lr_schedule": {"name": name, **settings}}
    read = runfile.validate(tables, plan.KINDS).lr_schedule
    return lr_schedules.lasting(read, of_run)


def torchs(make, steps):
    """The learning rates of a scheduler of torch at each step, where the first is 1."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler, rates = make(optimizer), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            scheduler.step()
    return rates


def test_cosine_is_that_of_torch_at_each_local_step():
    rounds, steps = 6, 7
    factor = lr_schedules.factor(section(rounds=rounds, floor=0.05))
    found = [factor(r + s / steps) for r in range(rounds) for s in range(steps)]
    make = torch.optim.lr_scheduler.CosineAnnealingLR
    want = torchs(lambda optimizer: make(optimizer, rounds * steps, eta_min=0.05), rounds * steps)
    assert found == pytest.approx(want, rel=1e-12)


def test_step_decay_is_that_of_torch_by_rounds():
    factor = lr_schedules.factor(section("step_decay", every=3, gamma=0.5))
    want = torchs(lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5), 10)
    assert [factor(float(round_)) for round_ in range(10)] == want
    assert factor(2.9) == 1.0


def test_warmup_rises_and_stays_alone_and_before_a_cosine():
    alone = lr_schedules.factor(section("warmup", warmup=4, start=0.2))
    before = lr_schedules.factor(section("cosine", warmup=4, start=0.2, floor=0.1, rounds=10))
    for factor in (alone, before):
        assert [factor(time) for time in (0, 1, 2.5, 4)] == pytest.approx([0.2, 0.4, 0.7, 1.0])
    assert alone(100.0) == 1.0
    assert before(7.0) == pytest.approx(0.55)
    assert before(10.0) == before(50.0) == pytest.approx(0.1)


def test_rounds_that_are_unset_are_those_of_the_run():
    assert section(of_run=7).rounds == 7
    assert section(of_run=7, rounds=9).rounds == 9
    assert section("constant").model_dump() == {"name": "constant"}
    assert lr_schedules.factor(section("constant")) is None


@pytest.mark.parametrize("value", [-0.5, math.inf, math.nan, "much", None, True])
def test_one_of_ones_own_gives_a_number_from_0(monkeypatch, value):
    def mine(time, /, after: int = 3):
        return value if time >= after else 0.5

    monkeypatch.setitem(LR_SCHEDULES, "mine", mine)
    lr_schedules.check(section("mine"), 3)
    with pytest.raises(Fault, match=r"lr_schedule.name = 'mine': must give a finite .* at time 3"):
        lr_schedules.check(section("mine"), 10)


def test_a_warmup_longer_than_the_schedule_is_refused():
    with pytest.raises(Fault, match=r"warmup = 4: must be less than the 4 rounds of the schedule"):
        lr_schedules.check(section("cosine", warmup=4, rounds=4), 10)
