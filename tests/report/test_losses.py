"""Reports of runs without accuracies: they are about losses and the values of a task."""

import csv
import re
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest

from mpidl import plan
from mpidl.config.faults import Fault
from mpidl.ensemble import study_table
from mpidl.ensemble.folder import Folder
from mpidl.report import animation, figures, page, shelf, statistics, style, summary, terminal, tidy
from mpidl.report.figures.scale import Scale
from mpidl.storage import layout, reader, run_series, schema

ROUNDS, DEVICES = 4, 5


def run(path, strategy="degree", seed=0, least=0.2, ood=True):
    """A star of five devices whose losses fall, the farther from device 0 the slower."""
    of_run = run_series.of(0, ("mae",), ("norm",))
    chosen = {k: v for k, v in of_run.variables.items() if k not in schema.SPECIAL}
    told = [f'name="{path.stem}"', f"training.rounds={ROUNDS}", f"training.seed={seed}"]
    told += [f"topology.devices={DEVICES}", f"strategy.name={strategy}"]
    edges = np.array([(0, i) for i in range(1, DEVICES)] + [(i, 0) for i in range(1, DEVICES)])
    matrix = np.eye(DEVICES) / 2 + np.full((DEVICES, DEVICES), 0.1)
    contents = layout.Contents(
        sizes={"round": ROUNDS, "device": DEVICES},
        series=chosen,
        static={
            "graph": {
                **{"edges": edges, "probability": np.ones(len(edges)), "W": matrix},
                **{"hops": np.array([0, 1, 1, 1, 1])},
            },
            "placement": {
                **{"samples": np.full(DEVICES, 9), "source": np.eye(DEVICES, dtype=int)[0]},
                **{"ood_samples": np.zeros(DEVICES, int), "rank": np.zeros(DEVICES, int)},
            },
        },
        labels={},
        attributes={"run_file": plan.read(None, told, DEVICES).text()},
    )
    layout.create(path, contents)
    falls = least + np.linspace(2, 1, ROUNDS)[:, None] + 0.1 * np.arange(DEVICES)
    with h5py.File(path, "r+") as file:
        for key in ("train_loss", "consensus_distance", "bytes_sent", "finite"):
            file[f"series/{key}"][:] = falls
        for kind in ("iid", "ood") if ood else ("iid",):
            for moment in schema.MOMENTS:
                file[f"series/{kind}_loss_{moment}"][:] = falls * (1 + (kind == "ood"))
                file[f"series/{kind}_mae_{moment}"][:] = falls / 3
        file["series/norm"][1:] = falls[1:]
        file[schema.ROUNDS_DONE][()] = ROUNDS
        file[schema.COMPLETED][()] = 1
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("losses")
    better = {"degree": 0.2, "unweighted": 0.6}
    return [
        run(folder / f"{name}-{seed}.h5", name, seed, least + 0.1 * seed)
        for name, least in better.items()
        for seed in (0, 1)
    ]


def test_numbers_are_of_losses_and_no_threshold_is_reached(runs):
    found = summary.read(runs[0])
    assert (found.value, found.own) == ("loss", ("mae",))
    numbers = found.numbers
    assert numbers["iid_last"] == pytest.approx(1.4)
    assert numbers["ood_worst"] == pytest.approx(2 * 1.6)
    assert numbers["iid_mae_last"] == pytest.approx(1.4 / 3)
    assert np.isnan([numbers["rounds_to_threshold"], numbers["iid_rounds_to_threshold"]]).all()
    assert found.curves["ood_mae"].mean[0] == pytest.approx(2.4 / 3)
    assert found.late.startswith("OOD loss is greatest on device 4, 3.2 after the last round")
    assert not any("accuracy" in sentence for sentence in found.warnings)


def test_an_infinite_loss_reaches_no_threshold(tmp_path):
    path = run(tmp_path / "diverged.h5")
    with h5py.File(path, "r+") as file:
        file["series/ood_loss_mixed"][2, 3] = np.inf
    found = summary.read(path)
    assert np.isnan(found.numbers["rounds_to_threshold"])
    assert np.isnan(found.by_device["rounds_to_threshold"]).all()


def diverged(path, name, seed, begin=1):
    """A run of which no device has a loss from a round on, though it had the least before."""
    path = run(path, name, seed, least=0.0)
    with h5py.File(path, "r+") as file:
        file["series/finite"][:] = 1
        file["series/finite"][begin:, 0] = 0
        for key in ("iid_loss_mixed", "ood_loss_mixed", "iid_mae_mixed"):
            file[f"series/{key}"][begin:] = np.nan
    return path


@pytest.mark.parametrize("begin", [0, 1])
def test_a_run_that_diverged_is_ranked_last_and_said_to_be_infinite(runs, begin, tmp_path):
    more = [diverged(tmp_path / f"{seed}.h5", "betweenness", seed, begin) for seed in (0, 1)]
    collection = shelf.read([*runs, *more])
    numbers = collection.summaries["0"].numbers
    measured = [f"{kind}_{of}" for kind in schema.KINDS for of in ("level", "last", "worst")]
    assert [numbers[key] for key in measured] == [np.inf] * 6
    assert np.isnan(numbers["iid_mae_last"])
    ranking = statistics.tables(collection)["ranking"].set_index("strategy")
    assert ranking.index.tolist() == ["degree", "unweighted", "betweenness"]
    assert ranking.loc["betweenness", ["rank", "mean", "blocks"]].tolist() == [3, np.inf, 2]
    pairs = statistics.tables(collection)["pairs"].query("second == 'degree'")
    assert pairs[["n", "ahead", "behind", "wilcoxon_p"]].values.tolist() == [[2, 0, 2, 0.5]]
    assert statistics.tables(collection)["groups"]["ood_level"].tolist()[-1] == np.inf


def test_one_device_that_diverged_makes_the_mean_infinite(tmp_path):
    path = run(tmp_path / "one.h5")
    with h5py.File(path, "r+") as file:
        file["series/ood_loss_mixed"][2:, 3] = np.nan
    # Without a loss of training that is not finite, it was not measured.
    assert np.isfinite(summary.read(path).numbers["ood_level"])
    with h5py.File(path, "r+") as file:
        file["series/finite"][3, 3] = 0
    found = summary.read(path)
    assert (found.numbers["ood_level"], found.numbers["ood_worst"]) == (np.inf, np.inf)
    assert np.flatnonzero(np.isinf(found.by_device["ood_level"])).tolist() == [3]
    assert found.late.startswith("OOD loss is greatest on device 3, inf after the last round")
    assert np.isfinite(found.numbers["iid_level"])


@pytest.mark.parametrize("begin", [0, 1])
def test_the_table_of_a_study_says_it_too(begin, tmp_path):
    folder = Folder(tmp_path)
    diverged(folder.results("one"), "degree", 0, begin)
    study = SimpleNamespace(axes=[], runs=[SimpleNamespace(name="one", labels={})])
    (row,) = csv.DictReader(study_table.text(study, folder).splitlines())
    assert {row[f"{kind}_{of}"] for kind in schema.KINDS for of in ("last", "worst", "level")} == {
        "inf"
    }


def test_figures_leave_out_what_diverged(runs, tmp_path):
    more = [diverged(tmp_path / f"{seed}.h5", "betweenness", seed) for seed in (0, 1)]
    pictures = {one.name: one for one in figures.of_runs(shelf.read([*runs, *more]))}
    assert {"levels", "distances"} <= {*pictures}
    for name in ("levels", "distances"):
        assert np.isfinite(pictures[name].figure.axes[0].get_ylim()).all()


@pytest.mark.parametrize("begin", [0, 2])
def test_figures_of_a_run_leave_out_infinite_losses(begin, tmp_path):
    path = run(tmp_path / "one.h5")
    with h5py.File(path, "r+") as file:
        for key in ("iid_loss_mixed", "ood_loss_mixed", "iid_mae_mixed"):
            file[f"series/{key}"][begin, 2:] = np.inf
    for picture in figures.of_run(reader.open(path)):
        assert np.isfinite(picture.figure.axes[0].get_ylim()).all()
        with style.context():
            figures.svg(picture)


def test_less_is_ranked_first(runs):
    collection = shelf.read(runs)
    tables = statistics.tables(collection)
    assert tables["ranking"]["strategy"].tolist() == ["degree", "unweighted"]
    [pair] = tables["pairs"].to_dict("records")
    assert {pair["first"]: pair["ahead"], pair["second"]: pair["behind"]}["degree"] == 2
    row = tables["groups"].set_index("strategy").loc["unweighted"]
    assert row["ood_level"] > 1
    assert row["ood_level_seeds_low"] < row["ood_level"] < row["ood_level_seeds_high"]
    assert row["iid_mae_last"] == pytest.approx((1.8 + 1.9) / 2 / 3)


def test_figures_show_losses_and_values(runs):
    named = {one.name: one for one in figures.of_run(reader.open(runs[0]))}
    assert {"loss", "graph", "heat", "hops", "moments", "values"} <= {*named}
    assert not {"accuracy", "passage"} & {*named}
    of_runs = {one.name for one in figures.of_runs(shelf.read(runs))}
    assert {"curves-ood", "curves-iid", "values", "levels", "differences", "distances"} <= of_runs
    assert "thresholds" not in of_runs
    for one in named.values():
        assert "ccuracy" not in one.title + one.caption


@pytest.mark.parametrize("count", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_page_says_nothing_of_accuracy(runs, count):
    text = page.text(shelf.read(runs[:count]))
    shown = re.sub(r"<(style|script|pre).*?</\1>", "", text, flags=re.DOTALL)
    assert "IID mae" in shown
    for word in ("ccuracy", "hreshold"):
        found = [shown[m.start() - 80 : m.end() + 20] for m in re.finditer(word, shown)]
        assert [one for one in found if "evaluation." not in one] == []


def test_the_terminal_has_a_column_for_each_value(runs, capsys):
    terminal.show(shelf.read(runs), terminal.console())
    said = capsys.readouterr().out
    assert "OOD\n" in said or "OOD" in said
    assert "mae" in said
    assert "Loss over devices: mean and worst after the last round" in said
    assert "accuracy" not in said


def test_tidy_tables_have_series_of_their_own_and_no_empty_accuracies(runs, tmp_path):
    tidy.write(shelf.read(runs[:2]), tmp_path)
    table = pd.read_csv(tmp_path / "tidy.csv")
    assert table["ood_mae_mixed"].notna().all()
    assert not [key for key in table if "accuracy" in key]


def test_runs_with_accuracies_are_kept_apart(runs, write, tmp_path):
    other = write(tmp_path / "other.h5", np.full((3, 4), 0.5), np.full((3, 4), 0.5))
    collection = shelf.read([*runs, other])
    assert [*collection.summaries] == ["other"]
    assert sum("it is measured by its loss" in one for one in collection.skipped) == len(runs)


def test_without_ood_data_runs_are_compared_by_iid_loss(tmp_path):
    alone = run(tmp_path / "alone.h5", ood=False)
    assert shelf.read([alone]).measure == "iid_level"
    with pytest.raises(Fault, match="has no OOD loss, so there is nothing to animate"):
        animation.animate(reader.open(alone), tmp_path / "alone.gif")


def test_the_best_loss_has_the_colour_of_the_best_accuracy():
    scaled = Scale("loss", worst=3.0, best=1.0)
    assert scaled.colors(np.array([1.0, 2.0, 3.0, 9.0])).tolist() == [1, 0.5, 0, 0]
    assert scaled.text(0.25) == "2.5"
    assert Scale().text(0.25) == "0.25"


def test_a_series_without_a_test_set_is_drawn_beside_the_values_of_the_task(runs):
    picture = figures.learning.values(reader.open(runs[0]))
    drawn = {axes.get_ylabel(): axes.get_lines() for axes in picture.figure.axes}
    assert {name: len(lines) for name, lines in drawn.items()} == {"mae": 2, "norm": 1}
    (line,) = drawn["norm"]
    assert line.get_xdata().tolist() == [2, 3, 4]
    (legend,) = picture.figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[:2] == ["IID mean", "OOD mean"]
    assert "mean" in labels
