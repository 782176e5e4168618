"""Whole runs with the devices of a rank side by side against one after another."""

import numpy as np
import pytest
import torch

from mpidl.config.faults import Fault
from mpidl.devices import batching, building
from mpidl.devices.objectives import ANSWERS

pytestmark = pytest.mark.dealt

SETTINGS = ("topology.devices=6", "training.rounds=3", "training.participation=0.8")


@pytest.fixture(autouse=True)
def six(comm):
    if comm.size > 6:
        pytest.skip("six devices")


def test_curves_are_the_same_up_to_rounding(program):
    one = program(*SETTINGS, "training.batched=no", name="one")
    all_ = program(*SETTINGS, "training.batched=yes", name="all")
    for key, want in one.items():
        timed = key.startswith(("series/seconds", "series/bytes"))
        if key.startswith("series/") and want.dtype.kind == "f" and not timed:
            np.testing.assert_allclose(all_[key], want, rtol=1e-4, atol=1e-6, err_msg=key)


def test_auto_goes_one_after_another_on_a_processor(parts, comm):
    with parts(*SETTINGS) as alone:
        assert alone.batch is None
    with parts(*SETTINGS, "training.batched=yes") as together:
        assert (together.batch is not None) == (len(together.devices) > 1)


def test_a_model_that_does_not_allow_it_is_told(parts, monkeypatch):
    monkeypatch.setattr(building, "obstacle", lambda *_: "it draws lots")
    with (
        pytest.raises(Fault, match=r"'mlp' cannot be .* \(it draws lots\); 'auto' and 'no'"),
        parts(*SETTINGS, "training.batched=yes"),
    ):
        pass
    with parts(*SETTINGS) as serial:
        cpu = torch.device("cpu")
        assert not building.side_by_side(serial.plan, serial.run_data, 2, cpu, ANSWERS)
        meta = torch.device("meta")
        assert not building.side_by_side(serial.plan, serial.run_data, 2, meta, ANSWERS)


def test_off_the_processor_auto_follows_what_pays(parts, monkeypatch):
    asked, meta = [], torch.device("meta")
    monkeypatch.setattr(batching, "pays", lambda _, *told: asked.append(told) or told[0] > 2)
    with parts(*SETTINGS) as found:
        for devices in (2, 3):
            taken = building.side_by_side(found.plan, found.run_data, devices, meta, ANSWERS)
            assert taken == (devices > 2)
    assert asked == [(2, "meta"), (3, "meta")]


LARGE = ("model.name=mlp", "model.hidden=[1000, 200]")


@pytest.mark.parametrize(
    ("settings", "devices", "told"),
    [
        ((), 10, "'yes' would shorten rounds here (10 devices a rank of a model of "),
        (("training.batched=yes",), 10, None),
        ((), 2, None),
        (LARGE, 10, None),
        ((*LARGE, "training.batched=yes"), 2, "'yes' makes rounds longer here (2 devices a rank"),
    ],
)
def test_a_check_says_where_it_pays(comm, planned, checked, settings, devices, told):
    found = checked(planned(f"topology.devices={devices * comm.size}", *settings), False)
    if comm.rank == 0:
        assert ("training.batched = '" in found) == (told is not None)
        assert told is None or told in found
