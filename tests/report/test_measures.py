"""Measures of curves whose areas are known in closed form."""

import csv
import math
from types import SimpleNamespace

import h5py
import networkx as nx
import numpy as np
import pytest

from mpidl.ensemble import study_table
from mpidl.ensemble.folder import Folder
from mpidl.report import measures, recorded, summary
from mpidl.storage import reader

ROUNDS = np.arange(5)


def column(values):
    return np.array(values, float)[:, None]


@pytest.mark.parametrize(
    ("curve", "area"),
    [
        ([0.7] * 5, 2.8),
        ([0, 0, 1, 1, 1], 2.5),
        ([0, 0.25, 0.5, 0.75, 1], 2.0),
        ([0, 1, 0, 1, 0], 2.0),
    ],
)
def test_the_area_of_a_known_curve(curve, area):
    assert measures.area(column(curve), ROUNDS) == pytest.approx([area])
    assert measures.level(column(curve), ROUNDS) == pytest.approx([area / 4])


def test_each_device_has_an_area_of_its_own():
    curve = np.stack([np.zeros(5), np.ones(5), ROUNDS / 4], axis=1)
    assert measures.area(curve, ROUNDS) == pytest.approx([0, 4, 2])


def test_rounds_that_were_not_measured_are_bridged():
    # Only rounds 3, 7 and 11 of 12: 4 (.2 + .6) / 2 + 4 (.6 + .6) / 2.
    curve, rounds = column([0.2, 0.6, 0.6]), np.array([3, 7, 11])
    assert measures.area(curve, rounds) == pytest.approx([4.0])
    assert measures.level(curve, rounds) == pytest.approx([0.5])


def test_points_that_are_not_finite_are_left_out():
    curve = np.stack([[0.2, np.nan, 0.6], [np.nan, 0.5, 0.7], [np.nan] * 3], axis=1)
    assert measures.area(curve, np.arange(3)) == pytest.approx([0.8, 0.6, math.nan], nan_ok=True)
    assert measures.level(curve, np.arange(3)) == pytest.approx([0.4, 0.6, math.nan], nan_ok=True)


def test_the_table_of_a_study_has_the_numbers_of_the_report(write, tmp_path):
    ood, iid = np.random.default_rng(0).random((2, 7, 4))
    iid[[1, 4]] = np.nan
    folder = Folder(tmp_path)
    path = write(folder.results("one"), ood, iid)
    study = SimpleNamespace(axes=[], runs=[SimpleNamespace(name="one", labels={})])
    (row,) = csv.DictReader(study_table.text(study, folder).splitlines())
    numbers = summary.read(path).numbers
    found = {key: float(value) for key, value in row.items() if key in numbers}
    assert len(found) == 6
    assert found == pytest.approx({key: numbers[key] for key in found}, abs=1e-6)


def test_a_constant_answer_reaches_no_threshold(write, tmp_path):
    # Device 0 answers "0" to all in rounds 1 and 2, device 1 from round 2 on.
    path = write(tmp_path / "run.h5", np.ones((3, 2)), np.full((3, 2), 0.1))
    with h5py.File(path, "r+") as file:
        for at in ((0, 0), (1, 0), (1, 1), (2, 1)):
            file["series/iid_class_accuracy_mixed"][at] = np.eye(10)[0]
    run = reader.open(path)
    assert recorded.learned(run, "ood").tolist() == [[0, 1], [0, 0], [1, 0]]
    found = summary.of(run, 0.6)
    assert found.by_device["rounds_to_threshold"] == pytest.approx([3, 1])
    assert math.isnan(found.numbers["rounds_to_threshold"])
    assert summary.of(run, 0.5).numbers["rounds_to_threshold"] == 1
    assert found.numbers["ood_level"] == 1
    assert found.warnings[-1].startswith("Device 1 answers one class whatever it is asked: ")


def test_one_round_has_a_level_and_no_area():
    assert measures.area(column([0.4]), np.array([9])) == [0]
    assert measures.level(column([0.4]), np.array([9])) == [0.4]


def test_no_round_has_neither():
    nothing = np.empty((0, 2))
    assert np.isnan(measures.area(nothing, np.empty(0))).all()
    assert np.isnan(measures.level(nothing, np.empty(0))).all()


@pytest.mark.parametrize(
    ("mean", "threshold", "rounds"),
    [
        ([0.1, 0.5, 0.4], 0.5, 2),
        ([0.6, 0.5, 0.4], 0.5, 1),
        ([0.1, 0.2, 0.3], 0.5, math.nan),
        ([], 0.5, math.nan),
        ([math.nan, 0.9, 0.9], 0.5, 2),
    ],
)
def test_the_round_that_reaches_a_threshold(mean, threshold, rounds):
    found = measures.reached(np.array(mean), np.arange(len(mean)), threshold)
    assert found == pytest.approx(rounds, nan_ok=True)


@pytest.mark.parametrize(
    ("ood", "iid", "percent"),
    [(3, 1, 100), (1, 3, -100), (0, 5, -200), (2, 2, 0), (0, 0, math.nan)],
)
def test_the_difference_is_symmetric(ood, iid, percent):
    assert measures.difference(ood, iid) == pytest.approx(percent, nan_ok=True)


def test_accuracy_is_that_after_mixing(write, tmp_path):
    other = np.full((3, 2), 0.9)
    path = write(tmp_path / "a.h5", np.full((3, 2), 0.4), series={"ood_accuracy_trained": other})
    assert (recorded.scores(reader.open(path), "ood") == 0.4).all()


def test_accuracy_is_that_after_training_where_nothing_else_was_measured(write, tmp_path):
    path = write(
        tmp_path / "a.h5",
        np.full((3, 2), 0.4),
        moments=("trained",),
        settings=["evaluation.moment='trained'"],
    )
    assert (recorded.scores(reader.open(path), "ood") == 0.4).all()


def test_rounds_without_a_measurement_are_no_part_of_a_curve(write, tmp_path):
    curve = np.full((6, 2), np.nan)
    curve[1::2] = [[0.1, 0.3], [0.5, 0.7], [0.9, 1.0]]
    run = reader.open(write(tmp_path / "a.h5", curve, settings=["evaluation.every=2"]))
    found = recorded.scores(run, "ood")
    assert found["round"].to_numpy().tolist() == [1, 3, 5]
    numbers = summary.of(run).numbers
    # Device 0: 2 (.1 + .5) / 2 + 2 (.5 + .9) / 2 = 2; device 1: 1 + 1.7.
    assert numbers["ood_area"] == pytest.approx((2.0 + 2.7) / 2)
    assert numbers["ood_level"] == pytest.approx(numbers["ood_area"] / 4)
    assert numbers["ood_last"] == pytest.approx(0.95)
    assert numbers["ood_worst"] == pytest.approx(0.9)
    assert numbers["rounds_to_threshold"] == 4


def test_only_whole_rounds_of_an_unfinished_run_count(write, tmp_path):
    curve = np.linspace(0, 1, 5)[:, None].repeat(2, axis=1)
    path = write(tmp_path / "a.h5", curve, done=3, completed=False)
    found = summary.read(path)
    assert (found.done, found.completed) == (3, False)
    assert found.numbers["ood_area"] == pytest.approx(0.5)
    assert found.numbers["ood_last"] == pytest.approx(0.5)


def test_one_device_of_one_round(write, tmp_path):
    numbers = summary.read(write(tmp_path / "a.h5", [[0.3]])).numbers
    assert numbers["ood_area"] == 0
    assert numbers["ood_level"] == numbers["ood_last"] == pytest.approx(0.3)


def test_the_passage_of_a_run_follows_from_its_weights(write, tmp_path):
    # A star with equal weights: leaves give its center half, so take 2 rounds; see
    # tests/components/graphs/test_passage.py.
    path = write(tmp_path / "run.h5", np.full((3, 5), 0.4), graph=nx.star_graph(4), sources=[0])
    assert measures.passage(reader.open(path)) == pytest.approx([0, 2, 2, 2, 2])
    one = summary.read(path, 0.3)
    assert one.by_device["passage"] == pytest.approx([0, 2, 2, 2, 2])
    assert one.by_device["rounds_to_threshold"].tolist() == [1] * 5
    assert one.numbers["source_passage"] == pytest.approx(math.log10(2))
    assert math.isnan(one.numbers["passage_spearman"])
    assert np.isnan(summary.read(path, 0.5).by_device["rounds_to_threshold"]).all()


def test_prediction_and_distance_are_ranked_with_what_was_measured(write, tmp_path):
    # On a ring of eight both say the same: 3/2 d (8 - d) rounds for d hops.
    hops = np.array([0, 1, 2, 3, 4, 3, 2, 1])
    late = (np.arange(10)[:, None] >= 2 * hops).astype(float)
    numbers = summary.read(write(tmp_path / "run.h5", late)).numbers
    assert numbers["passage_spearman"] == pytest.approx(1)
    assert numbers["hops_spearman"] == pytest.approx(1)
    reverse = summary.read(write(tmp_path / "reverse.h5", late[:, hops.argsort()[::-1]])).numbers
    assert numbers["source_passage"] == reverse["source_passage"]
    assert reverse["passage_spearman"] < 1


@pytest.mark.parametrize("weight", [np.nan, -0.5, 7.0])
def test_weights_that_are_none_predict_nothing(write, tmp_path, weight):
    run = reader.open(write(tmp_path / "run.h5", np.ones((2, 4))))
    run["W"][1, 2] = weight
    assert np.isnan(measures.passage(run)).all()


def test_weights_of_other_devices_predict_nothing(write, tmp_path):
    run = reader.open(write(tmp_path / "run.h5", np.ones((2, 4))))
    assert np.isnan(measures.passage(run.isel(member=slice(3)))).all()


def test_without_sources_or_weights_nothing_is_predicted(write, tmp_path):
    path = write(tmp_path / "run.h5", np.ones((2, 4)), sources=())
    assert np.isnan(measures.passage(reader.open(path))).all()
    numbers = summary.read(path).numbers
    keys = ("source_passage", "passage_spearman", "hops_spearman")
    assert all(math.isnan(numbers[key]) for key in keys)
    run = reader.open(write(tmp_path / "other.h5", np.ones((2, 4))))
    assert np.isnan(measures.passage(run.drop_vars("W"))).all()


def test_never_is_later_than_all_rounds():
    order = np.array([1.0, 2.0, 3.0, 4.0])
    assert measures.spearman(order, np.array([1, 5, np.nan, np.nan])) == pytest.approx(
        # Ranks 1 2 3.5 3.5: their covariance with 1 2 3 4 is 4.5, their variances 5 and 4.5.
        4.5 / math.sqrt(5 * 4.5)
    )
    assert math.isnan(measures.spearman(order, np.full(4, np.nan)))
