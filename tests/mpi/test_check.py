"""What a check says of graphs and data that are large, or small, for each other."""

import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from mpidl.components.datasets import DATASETS
from mpidl.devices import data
from mpidl.run import checking

pytestmark = pytest.mark.dealt

SHARED = "only 3 training samples for {devices} devices: they are dealt in turn, one to"


def tell(comm, made, as_json):
    with closing(data.provide(comm, made)) as run_data:
        return checking.check(comm, replace(made, samples=run_data.samples), run_data, as_json)


@pytest.mark.parametrize("as_json", [False, True])
def test_shared_samples_are_told(comm, planned, checked, as_json):
    devices = comm.size + 4
    made = planned(f"topology.devices={devices}", "data.train_samples=3")
    found = checked(made, as_json)
    if comm.rank != 0:
        return
    if as_json:
        assert found["training_samples"] == 3
        assert found["samples"] == [1] * devices
    else:
        assert SHARED.format(devices=devices) in found


def test_a_run_with_shared_samples_ends_and_says_so(comm, program, capsys):
    devices = comm.size + 4
    found = program(f"topology.devices={devices}", "data.train_samples=3")
    assert found["completed"] == 1
    assert found["placement/samples"].tolist() == [1] * devices
    assert np.isfinite(found["series/iid_accuracy_mixed"]).all()
    said = " ".join(capsys.readouterr().out.split())
    assert (SHARED.format(devices=devices) in said) == (comm.rank == 0)


def test_nothing_is_said_where_there_are_enough(comm, planned, capsys):
    assert tell(comm, planned("data.train_samples=50"), False) == 0
    assert "dealt round" not in capsys.readouterr().out


CLASSES = {
    (3,): None,
    (40,): "class 40 is in the test set and not in the training set: models have outputs for 41",
    range(4, 12): "8 classes (4, 5, 6, 7, 8, ...) are in the test set and not in the training set",
}


@pytest.mark.parametrize("labels", CLASSES)
def test_classes_of_the_test_set_alone_are_told(
    comm, program, planned, capsys, monkeypatch, labels
):
    def mine(folder, seed, /):
        draw, y = np.random.default_rng(0), np.arange(80) % 4
        of_test = np.append(y[:20], labels)
        return *(draw.normal(size=(80, 3)), y), *(draw.normal(size=(len(of_test), 3)), of_test)

    monkeypatch.setitem(DATASETS, "mine", mine)
    settings = "data.name=mine", "ood.name=none", "training.rounds=1", "model.hidden=[4]"
    settings = *settings, "data.train_samples=60", "data.test_samples=20"
    program(*settings)
    assert tell(comm, planned(*settings), False) == 0
    said = " ".join(capsys.readouterr().out.split())
    told = CLASSES[labels]
    assert said.count("not in the training set") == 2 * (comm.rank == 0 and told is not None)
    assert told is None or (told in said) == (comm.rank == 0)


@pytest.mark.parametrize("strategy", ["degree", "betweenness", "none"])
def test_a_large_graph_is_told_by_sparse_ways(comm, planned, capsys, monkeypatch, strategy):
    settings = f"topology.devices={comm.size + 60}", f"strategy.name={strategy}"
    assert tell(comm, planned(*settings), True) == 0
    dense = capsys.readouterr().out
    monkeypatch.setattr("mpidl.plan.gossip_plan.SPECTRUM", 4)
    assert tell(comm, planned(*settings), True) == 0
    sparse = capsys.readouterr().out
    assert tell(comm, planned(*settings), False) == 0
    said = capsys.readouterr().out
    if comm.rank != 0:
        assert dense == sparse == said == ""
    elif strategy == "none":
        found = json.loads(sparse)
        assert found["long_run"] == f"in the long run its devices are {comm.size + 60} groups, " + (
            "not one that agrees"
        )
        assert {"spectral_gap", "stationary"}.isdisjoint(found)
        assert f"influence of W are left out: {found['long_run']}" in said
    else:
        want, found = json.loads(dense), json.loads(sparse)
        assert found["spectral_gap"] == pytest.approx(want["spectral_gap"], rel=1e-6)
        np.testing.assert_allclose(found["stationary"], want["stationary"], rtol=1e-6)
        assert "consensus is led by" in said
        exact = "betweenness is exact, over the paths between all devices" in said
        assert exact == (strategy == "betweenness")


def test_links_beyond_count_leave_the_long_run_out(comm, planned, capsys, monkeypatch):
    monkeypatch.setattr("mpidl.plan.gossip_plan.SPECTRUM", 4)
    monkeypatch.setattr("mpidl.preview.estimates.LISTED", 7)
    made = planned(f"topology.devices={comm.size + 40}")
    assert tell(comm, made, False) == 0
    assert ("left out: it has more than 7 links" in capsys.readouterr().out) == (comm.rank == 0)


def test_a_wide_graph_says_that_its_diameter_is_missing(comm, planned, capsys, monkeypatch):
    monkeypatch.setattr("mpidl.preview.estimates.WIDE", 8)
    assert tell(comm, planned(f"topology.devices={comm.size + 8}"), False) == 0
    said = capsys.readouterr().out
    assert ("connected (its diameter is not sought beyond 8 devices)" in said) == (comm.rank == 0)


def test_what_knowledge_does_is_told(comm, planned, capsys):
    settings = "topology.name=star", f"topology.devices={comm.size + 4}", "strategy.name=unweighted"
    made = planned(*settings)
    assert tell(comm, made, True) == 0
    found = capsys.readouterr().out
    assert tell(comm, made, False) == 0
    said = capsys.readouterr().out
    if comm.rank == 0:
        want = json.loads(found)
        # The center hears of nothing; each leaf gives it half of its weight, so takes 2 rounds.
        assert want["passage"] == pytest.approx([0, *[2] * (comm.size + 3)])
        assert want["fastest"] == 0
        assert len(want["bridges"]) == comm.size + 3
        assert len(want["moduli"]) == comm.size + 4
        assert "knowledge spreads fastest from device 0: predicted 2 rounds on average" in said
        assert f"{comm.size + 3} bridges: 0-1, 0-2" in said
        assert "influence  passage  weights" in said


def test_what_knowledge_does_on_a_large_graph_is_left_out(comm, planned, capsys, monkeypatch):
    monkeypatch.setattr("mpidl.components.graphs.prediction.CLOSE", 4)
    assert tell(comm, planned(f"topology.devices={comm.size + 4}"), True) == 0
    found = capsys.readouterr().out
    if comm.rank == 0:
        assert {"passage", "communities"}.isdisjoint(json.loads(found))
        assert "stationary" in json.loads(found)


EMULATED = (
    *("network.stragglers=[0, 2]", "network.slowdown=3", "network.step_seconds=0.5"),
    *(
        "network.delay=[1, 2]",
        "network.leave=0.1",
        "network.back=0.3",
        "network.outages=[[1, 0, 2]]",
    ),
    *("attack.name=sign_flip", "attack.devices=1", "attack.from_round=3"),
)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_network_that_fails_is_told(comm, planned, checked, as_json):
    made = planned(f"topology.devices={comm.size + 4}", "training.steps=2", *EMULATED)
    found = checked(made, as_json)
    if comm.rank != 0:
        return
    if as_json:
        assert (found["attackers"], found["stragglers"]) == ([1], [0, 2])
        assert found["simulated_seconds"] == 6
    else:
        for line in (
            "stragglers, 3 times as slow as others: devices 0, 2\n",
            "what travels over a link is late by 1 to 2 rounds",
            "devices leave and come back: in the long run 75% are there",
            "outages: device 1 in rounds 1 to 2",
            "attack sign_flip by device 1 from round 4 on",
            "2 rounds take 6 simulated seconds",
            "what is said of W leaves out delays and lies",
        ):
            assert line in found


def test_a_network_that_works_is_not_mentioned(comm, planned, capsys):
    assert tell(comm, planned(), False) == 0
    said = capsys.readouterr().out.partition("[topology]")[0]
    assert not any(word in said for word in ("straggler", "late", "leave and", "attack", "simul"))


def test_only_what_is_learned_travels_twice(comm, planned, checked, monkeypatch):
    monkeypatch.setattr("mpidl.devices.building.sizes", lambda plan, run_data: (100, 60))
    settings = "algorithm.name=gradient_tracking", "network.bandwidth=640"
    found = checked(planned(f"topology.devices={comm.size + 2}", *settings), True)
    if comm.rank == 0:
        # Each of two rounds takes as long as 100 + 60 numbers of 4 bytes.
        assert found["simulated_seconds"] == pytest.approx(2)
