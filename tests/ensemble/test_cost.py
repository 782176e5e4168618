"""What a run is expected to take, by hand; what is measured, kept and corrected."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpidl import plan
from mpidl.components import datasets
from mpidl.config import runfile
from mpidl.config.faults import Fault
from mpidl.ensemble import calibration, cost, sites, study
from mpidl.ensemble.cost import Measured, Rates
from mpidl.ensemble.sites import Figure, Node, Site, Start
from mpidl.ensemble.study import Run

SMOKE = Path(__file__).parents[2] / "launch" / "studies" / "smoke"

RATES = Rates(train=0.001, evaluate=0.0001, mix=0.5, fixed=10.0, per_rank=2.0, source="by hand")

TEXT = """
[topology]
name = "ring"
devices = 8

[strategy]
name = "unweighted"

[data]
name = "digits"
train_samples = 800
test_samples = 100

[training]
rounds = 10
epochs = 2
"""


def site(places=4, per_place=1, **more):
    return Site(node=Node(cpus=places, ranks_per_place=per_place), **more)


def run(*overrides, ranks=8, devices=8, text=TEXT):
    return Run(runfile.read(text, overrides, plan.KINDS), {}, ranks, devices)


def seconds(one, where):
    return cost.estimate(one, where, RATES)


def test_an_estimate_by_hand():
    # 8 ranks on 2 nodes of 4 places, a device each: 10 rounds of 2 epochs of 100 samples, 2 x 100
    # answers, mixing; start.
    expected = 10 + 8 * 2 + 10 * (2 * 100 * 0.001 + 2 * 100 * 0.0001 + 0.5)
    assert seconds(run(), site()) == pytest.approx(expected)


def test_devices_of_a_place_take_turns():
    work = 10 * (0.2 + 0.02 + 0.5)
    assert seconds(run(ranks=4), site()) == pytest.approx(10 + 4 * 2 + 2 * work)
    assert seconds(run(ranks=8), site(2, per_place=4)) == pytest.approx(10 + 8 * 2 + 4 * work)
    assert seconds(run(ranks=1), site()) == pytest.approx(10 + 2 + 8 * work)


def test_the_fullest_place_decides():
    # 8 devices on 3 ranks are blocks of 3, 3, 2; by hand 1, 6, 1.
    work = 10 * (0.2 + 0.02 + 0.5)
    assert seconds(run(ranks=3), site()) == pytest.approx(10 + 3 * 2 + 3 * work)
    uneven = run("placement.hosts=[0,1,1,1,1,1,1,2]", ranks=3)
    assert seconds(uneven, site()) == pytest.approx(10 + 3 * 2 + 6 * work)


@pytest.mark.parametrize(
    ("override", "trained", "answers"),
    [
        ("training.steps=5", 10 * 5 * 32, 10 * 2 * 100),
        ("training.participation=0.5", 10 * 200 * 0.5, 10 * 2 * 100),
        ("evaluation.moment=mixed", 10 * 200, 10 * 100),
        ("evaluation.every=4", 10 * 200, 3 * 2 * 100),
        ("evaluation.every=100", 10 * 200, 2 * 100),
    ],
)
def test_settings_that_change_the_work(override, trained, answers):
    work = trained * 0.001 + answers * 0.0001 + 10 * 0.5
    assert seconds(run(override), site()) == pytest.approx(26 + work)


@given(
    ranks=st.integers(1, 8),
    places=st.integers(1, 6),
    rounds=st.integers(1, 50),
    more=st.integers(1, 9),
)
def test_more_work_takes_longer_and_more_places_do_not(ranks, places, rounds, more):
    one = run(f"training.rounds={rounds}", ranks=ranks)
    longer = run(f"training.rounds={rounds + more}", ranks=ranks)
    here = seconds(one, site(places, per_place=8))
    assert seconds(longer, site(places, per_place=8)) > here
    assert seconds(one, site(places + more, per_place=1)) <= here


@pytest.mark.parametrize("split", ["disjoint", "leaky"])
def test_sizes_of_tinymem(split):
    section = runfile.read(f'[data]\nname = "tinymem"\nsplit = "{split}"', (), plan.KINDS).data
    found = datasets.DATASETS.build(section, None, 0)
    assert datasets.DATASETS.samples(section) == (len(found.train_labels), len(found.test_labels))


def test_sizes_of_digits_and_of_a_part():
    section = runfile.DataSettings(name="digits")
    found = datasets.DATASETS.build(section, None, 0)
    assert datasets.DATASETS.samples(section) == (len(found.train_labels), len(found.test_labels))
    assert datasets.DATASETS.samples(section.model_copy(update={"test_samples": 9})) == (1437, 9)


def test_every_data_set_has_a_size_or_is_loaded(monkeypatch):
    for name in datasets.DATASETS:
        if datasets.DATASETS.properties(name).look is not None:
            continue  # files of one's own
        assert datasets.DATASETS.samples(runfile.DataSettings(name=name)) is not None
    unknown = datasets.DATASETS.properties("digits").model_copy(update={"samples": None})
    monkeypatch.setitem(datasets.DATASETS._declared, datasets.DATASETS["digits"], unknown)
    assert cost.samples(run().file) == (800, 100)


def measured(file, **changes):
    numbers = {"train": 2.0, "evaluate": 3.0, "mix": 4.0, "start": 5.0}
    where = {"site": "here", "machine": calibration.host.name(), "date": "2026-11-22"}
    return Measured(**where, **vars(cost.kind(file)), **(numbers | changes))


def test_what_was_measured_goes_before_the_sites_figures():
    file = run().file
    figure = Figure(data="digits", model="mlp", train=7.0, evaluate=8.0, source="a paper")
    there = site(figures=[figure], start=Start(fixed=1.0, per_rank=0.5))
    assert cost.rates(file, there, []) == Rates(7.0, 8.0, 0.0, 1.0, 0.5, "a paper")
    found = cost.rates(file, there, [measured(file)])
    assert found is not None
    assert dataclasses.astuple(found)[:5] == (2.0, 3.0, 4.0, 4.5, 0.5)
    other = run("training.batch_size=7").file
    assert cost.rates(other, there, [measured(file)]) == cost.rates(other, there, [])
    assert cost.rates(file, site(), []) is None


def test_kinds_differ_by_what_changes_the_time_of_a_sample():
    kind = cost.kind(run().file)
    for same in (
        "training.lr=0.3",
        "data.train_samples=7",
        "strategy.name=degree",
        "ood.name=none",
    ):
        assert cost.kind(run(same).file) == kind
    for other in ("model.hidden=[7]", "training.optimizer=adam", "training.threads=2"):
        assert cost.kind(run(other).file) != kind


def test_measurements_are_kept_by_site_and_machine(tmp_path):
    file, local, cluster = run().file, site(), site(scheduler="slurm")
    assert calibration.remembered(tmp_path, local, "here") == []
    calibration.remember(tmp_path / "new", measured(file, train=1.0))
    calibration.remember(tmp_path / "new", measured(file, train=2.0))
    kept = calibration.remembered(tmp_path / "new", local, "here")
    assert [one.train for one in kept] == [2.0, 1.0]
    assert calibration.remembered(tmp_path / "new", local, "there") == []
    elsewhere = measured(file).model_copy(update={"machine": "another"})
    calibration.remember(tmp_path / "other", elsewhere)
    assert calibration.remembered(tmp_path / "other", local, "here") == []
    assert calibration.remembered(tmp_path / "other", cluster, "here") == [elsewhere]


def test_damaged_figures_are_a_fault(tmp_path):
    (tmp_path / calibration.FIGURES).write_text("[[figures]]\ntrain = 1.0\n", encoding="utf-8")
    with pytest.raises(Fault, match=r"figures\.toml"):
        calibration.remembered(tmp_path, site(), "here")


def test_runs_that_ended_correct_those_that_are_left():
    estimates = {"a": 10.0, "b": 20.0, "c": 30.0, "d": 40.0}
    assert cost.corrected(estimates, {}) == estimates
    left = cost.corrected(estimates, {"a": 20.0, "b": 60.0, "c": 60.0, "unknown": 1.0})
    assert left == {"d": 80.0}


@pytest.mark.slow
def test_a_study_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.chdir(SMOKE.parents[2])
    found, here = study.read(SMOKE), sites.read("local")
    lines: list[str] = []
    assert calibration.calibrate(found, here, "local", tmp_path, lines.append) == []
    assert lines == ["calibrating: digits with mlp hidden=[64], some batches on one place"]
    known = calibration.remembered(tmp_path, here, "local")
    expected = cost.estimates(found, here, known)
    assert expected.keys() == {one.name for one in found.runs}
    # Other work on this machine makes it slow, nothing makes it so.
    assert all(0.5 < one < 1000 for one in expected.values())
    assert calibration.calibrate(found, here, "local", tmp_path, lines.append) == []
    assert len(lines) == 1


def test_what_cannot_be_measured_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(SMOKE.parents[2])
    found = study.read(SMOKE, ["data.name=mnist", "ood.name=none", "data.dir=nowhere"])
    told = calibration.calibrate(found, sites.read("local"), "local", tmp_path, lambda line: None)
    assert len(told) == 1
    assert told[0].startswith(
        "mnist with mlp hidden=[64] could not be measured: mnist needs the file"
    )
    assert "nowhere" in told[0]
    found, broken = study.read(SMOKE), sites.read("local").model_copy(update={"launcher": "srun"})
    monkeypatch.setenv("PATH", str(tmp_path))
    told = calibration.calibrate(found, broken, "local", tmp_path, lambda line: None)
    assert told[0].endswith("srun cannot be started: No such file or directory.")


@pytest.mark.parametrize(
    "name", ["smoke", "mnist_small", "heterogeneous", "timing", "multi_source"]
)
def test_short_runs_can_be_run(name, monkeypatch):
    monkeypatch.chdir(SMOKE.parents[2])
    for file in {
        cost.kind(one.file): one.file for one in study.read(SMOKE.parent / name).runs
    }.values():
        short = calibration.shortened(file)
        assert cost.kind(short) == cost.kind(file)
        made = plan.make(short, 1)
        assert (made.devices, made.sources) == (2, [])


def test_a_short_run_knows_no_device_that_it_does_not_have():
    absent = "network.outages=[[5, 0, 2]]", "network.stragglers=[6]"
    liar = "attack.name=sign_flip", "attack.devices=[5]"
    short = calibration.shortened(run(*absent, *liar, "algorithm.name=asynchronous").file)
    made = plan.make(short, 1)
    assert (made.devices, made.attackers, made.stragglers) == (2, [], [])
    assert short.algorithm.name == "dsgd"
