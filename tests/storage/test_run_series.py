"""Series of a run: those of the schema, some left out, and some of its own."""

from types import MappingProxyType

import h5py
import numpy as np
import pytest

from mpidl import plan
from mpidl.config.faults import Fault
from mpidl.storage import layout, reader, run_series, schema
from mpidl.storage.round_values import RoundValues, Series

RECORDED = ("train_loss", "finite", "consensus_distance", "bytes_sent", "bytes_received")


def test_a_run_without_series_of_its_own_has_those_of_the_schema():
    of_run = run_series.of(10)
    assert dict(of_run.variables) == schema.SERIES
    assert of_run.width == len(schema.SERIES) + 2 * 9
    assert of_run.own == ()


def test_without_classes_there_is_no_accuracy_and_values_come_behind():
    of_run = run_series.of(0, ("mae", "r2"), ("rate",))
    assert not any("accuracy" in key for key in of_run.variables)
    assert of_run.own[:2] == ("iid_mae_trained", "iid_r2_trained")
    assert of_run.own[-1] == "rate"
    assert len(of_run.own) == 2 * 2 * 2 + 1
    assert of_run.width == len(of_run.variables)
    text = "mae on the out-of-distribution test set after mixing"
    assert of_run.variables["ood_mae_mixed"].text == text


def test_a_value_named_accuracy_is_the_accuracy():
    of_run = run_series.of(0, ("accuracy",))
    assert "ood_accuracy_mixed" in of_run.variables
    assert "iid_class_accuracy_mixed" not in of_run.variables
    assert of_run.own == ()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Loss", "'Loss' as the name of a value of the task: must be at most 40 lowercase"),
        ("2nd", "must be at most 40"),
        ("a" * 41, "must be at most 40"),
        ("a,b", "must be at most 40"),
        (3, "3 as the name of a value of the task: must be"),
        ("loss", "'loss' as the name of a value of the task: mpidl has that name already"),
        ("hops", "mpidl has that name already"),
        ("seed", "mpidl has that name already"),
        ("seconds_train", "mpidl has that name already"),
    ],
)
def test_names_that_no_series_can_have_are_refused(name, why):
    with pytest.raises(Fault, match=why):
        run_series.of(0, (name,))


def test_a_name_given_twice_is_refused():
    with pytest.raises(Fault, match="'rate' as the name of a series: is given twice"):
        run_series.of(0, (), ("rate", "rate"))


def test_values_of_a_round_have_their_columns():
    of_run = run_series.of(0, ("mae",))
    values = RoundValues([4, 7], of_run, lambda: 0.0)
    values.set("ood_mae_mixed", 7, 0.5)
    assert Series(values.array, of_run)["ood_mae_mixed"].tolist()[1] == 0.5
    assert np.isnan(values["iid_mae_mixed"]).all()


def create(path, own):
    of_run = run_series.of(0, own)
    chosen = (*RECORDED, *of_run.own)
    contents = layout.Contents(
        sizes={"round": 2, "device": 3},
        series={key: of_run.variables[key] for key in chosen},
        static={
            "graph": {"edges": np.empty((0, 2), int), "hops": np.zeros(3, int)},
            "placement": {"source": np.zeros(3, int), "rank": np.zeros(3, int)},
        },
        labels={},
        attributes={"run_file": plan.read(None, ["training.rounds=2"], 3).text()},
        past={key: np.full((2, 3), 0.5) for key in chosen},
    )
    layout.create(path, contents)
    return path


def test_a_file_says_which_series_are_its_own(tmp_path):
    run = reader.open(create(tmp_path / "own.h5", ("mae",)))
    assert run["iid_mae_mixed"].dims == ("round", "device")
    assert (run["iid_mae_mixed"] == 0.5).all()
    assert run.attrs[schema.OWN_SERIES].split(",")[0] == "iid_mae_trained"
    with h5py.File(create(tmp_path / "none.h5", ()), "r") as file:
        assert schema.OWN_SERIES not in file.attrs


def test_series_of_its_own_are_read_beside_those_that_are_named(tmp_path):
    run = reader.open(create(tmp_path / "own.h5", ("mae",)), ["train_loss"])
    assert "iid_mae_mixed" in run
    assert "bytes_sent" not in run


def test_a_rewritten_file_keeps_series_of_its_own(tmp_path):
    path, copy = create(tmp_path / "own.h5", ("mae",)), tmp_path / "copy.h5"
    with h5py.File(path, "r") as old, h5py.File(copy, "w", track_order=True) as new:
        for name in old:
            old.copy(name, new, expand_refs=True)
        for key, value in old.attrs.items():
            new.attrs[key] = value
    assert (reader.open(copy)["ood_mae_trained"] == 0.5).all()


MANY = ",".join(f"x{i}" for i in range(101))


@pytest.mark.parametrize("names", ["hops", "A", "x,x", "x,", "../x", MANY])
def test_a_file_that_claims_impossible_series_is_damaged(tmp_path, names):
    path = create(tmp_path / "own.h5", ("mae",))
    with h5py.File(path, "r+") as file:
        file.attrs[schema.OWN_SERIES] = names
    with pytest.raises(Fault, match="is damaged"):
        reader.open(path)


def test_series_of_a_run_cannot_be_changed():
    assert isinstance(run_series.of(3).variables, MappingProxyType)
