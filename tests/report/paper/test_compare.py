"""Runs beside the published numbers."""

import dataclasses
import io
import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from mpidl.report import shelf, statistics, terminal
from mpidl.report.collection import Collection
from mpidl.report.paper import compare, published
from mpidl.storage import runs

GRAPHS = ("ba_33_1", "ba_33_2", "ba_33_3")


def compared(*runs):
    return compare.compare(Collection({f"run{i}": one for i, one in enumerate(runs)}))


def only(table, /, **where):
    for key, value in where.items():
        table = table[table[key] == value]
    (one,) = table.to_dict("records")
    return one


def test_a_bar_beside_ours(write, tmp_path, stored):
    # From files: 40 rounds on the published graphs of three seeds, levels .9, .92 and .94.
    told = published.settings("mnist")
    settings = [
        f"{key}={value}" if not isinstance(value, str) else f"{key}='{value}'"
        for key, value in {**told["study"], **told["testbed"], "data.name": "mnist"}.items()
        if not key.startswith(("strategy.draw", "strategy.frozen", "training.rounds"))
    ]
    for seed, level in enumerate((0.9, 0.92, 0.94)):
        links, (source, *_) = stored("ba_33_2", seed)
        write(
            tmp_path / f"run{seed}.h5",
            np.full((40, 33), level),
            graph=links,
            sources=(source,),
            settings=[
                *settings,
                "strategy.name='degree'",
                f"ood.sources={source}",
                f"training.seed={seed}",
            ],
            moments=("trained",),
        )
    found = compare.compare(shelf.read(runs.files(tmp_path)))
    one = only(found, table="T3")
    ours = statistics.interval(199 * np.array([0.9, 0.92, 0.94]), within=(0, 199))
    assert [one[key] for key in ("ours", "low", "high")] == pytest.approx(ours)
    assert (one["runs"], one["theirs"], one["uncertainty"]) == (3, 189, 1.5)
    assert one["difference"] == pytest.approx(ours[0] - 189)
    assert one["percent"] == pytest.approx(100 * (ours[0] / 189 - 1))
    assert (one["comparable"], one["why"]) == ("yes", "")


def test_the_correct_method_differs_and_small_runs_do_not_compare(run):
    found = compared(
        run(0.9),
        run(0.8, study="paper"),
        run(0.7, study="paper", overrides=["training.rounds=10", "training.lr=0.1"]),
    )
    table = found[found["table"] == "T3"].set_index("ours")["comparable"]
    assert dict(zip(table.index.round(1), table, strict=True)) == {
        179.1: "yes",
        159.2: "method differs",
        139.3: "no",
    }
    why = only(found, table="T3", comparable="no")["why"]
    assert why.startswith("study: rounds 10, not 40; lr 0.1, not 0.01. method: init common, not")
    why = only(found, table="T3", comparable="method differs")["why"]
    assert why.startswith("method: init common, not per_device; order shuffled, not fixed;")


def test_one_run_has_no_interval_and_repetitions_count_once(run):
    one = only(compared(run(0.9)), table="T3")
    assert (one["runs"], math.isnan(one["low"])) == (1, True)
    one = only(compared(run(0.9), run(0.7)), table="T3")
    assert (one["runs"], one["ours"]) == (1, pytest.approx(0.8 * 199))


def test_lines_over_placements(run):
    # Areas of seeds on the lines .8 - .1 (rank - 1), one .1 above and one .1 below.
    runs = [
        run(0.8 - 0.1 * (rank - 1) + 0.1 * (seed - 1), rank=rank, seed=seed)
        for rank in (1, 2, 3, 4)
        for seed in range(3)
    ]
    found = compared(*runs)
    ends = found[found["what"].str.startswith("OOD area by regression at rank")]
    assert ends["ours"].tolist() == pytest.approx([0.8 * 199, 0.5 * 199])
    assert ends["theirs"].tolist() == [202, 94]
    assert ends["comparable"].tolist() == ["yes", "yes"]
    x, y = np.repeat([1, 2, 3, 4], 3), [one.numbers["ood_level"] * 199 for one in runs]
    low, high = statistics.regress(x, y).band([1, 4])
    assert ends["low"].tolist() == pytest.approx(low)
    assert ends["high"].tolist() == pytest.approx(high)
    eye = only(found, table="T4", what="OOD area under the accuracy curve")
    assert (eye["ours"], eye["theirs"]) == (pytest.approx(0.5 * 199), 66)


def test_nothing_is_no_part_of_nothing(run):
    # The published line of weighted averaging on the third graph ends at 0.
    ends = compared(*[run(0.2, kind="ba_33_3", strategy="weighted", rank=r) for r in (1, 2, 3, 4)])
    end = only(ends, table="T4", x=4.0)
    assert (end["theirs"], end["difference"]) == (0, pytest.approx(39.8))
    assert math.isnan(end["percent"])


def test_a_line_of_two_placements_says_so(run):
    found = compared(
        *[run(1 - 0.2 * rank, rank=rank, seed=seed) for rank in (1, 4) for seed in (0, 1)]
    )
    ends = found[(found["table"] == "T4") & (found["axis"] == "rank")]
    assert ends["comparable"].tolist() == ["method differs"] * 2
    assert ends["why"].tolist() == ["method: ranks 1, 4, not 1, 2, 3, 4"] * 2


def test_federated_averaging_counts_for_every_rank(run):
    runs = [run((0.1, 0.3), strategy="federated", kind=kind) for kind in GRAPHS]
    found = compared(*runs)
    one = only(found, table="T5", what="OOD area from IID area, percent of their mean")
    assert (one["ours"], one["theirs"], one["theirs_low"]) == (pytest.approx(-100), -179, -187)
    assert (one["runs"], one["comparable"], math.isnan(one["percent"])) == (3, "yes", True)
    flat = only(found, table="T4", graph="ba_33_2")
    assert (flat["ours"], flat["theirs"]) == (pytest.approx(19.9), 4)
    implied = only(found, table="T5", rank="1-4")
    assert (implied["ours"], implied["theirs_low"]) == (pytest.approx(0.3 * 199), 20)
    assert math.isnan(implied["difference"])


def test_missing_graphs_are_told(run):
    one = only(compared(run((0.1, 0.3), strategy="random", rank=4)), table="T5")
    assert one["comparable"] == "no"
    assert one["why"].startswith("study: graphs ba_33_2, not ba_33_1, ba_33_2, ba_33_3")


def changed(one, **what):
    return dataclasses.replace(one, **what)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda one: changed(one, completed=False), "No run is finished."),
        (lambda one: changed(one, edges=one.edges[2:]), "on a graph of the published study."),
        (
            lambda one: changed(one, settings={**one.settings, "data.name": "digits"}),
            "No run is on data of the published study: cifar10, ",
        ),
        (
            lambda one: changed(one, by_device={"source": np.eye(33)[32]}),
            "has its source where the study has.",
        ),
        (
            lambda one: changed(one, by_device={"source": np.ones(33)}),
            "has its source where the study has.",
        ),
        (
            lambda one: changed(one, settings={**one.settings, "strategy.name": "closeness"}),
            "No number was recovered for these",
        ),
    ],
)
def test_nothing_to_compare_has_a_reason(make, why, run):
    found = Collection({"run": make(run(0.5))})
    table = compare.compare(found)
    assert table.empty
    assert list(table) == list(compare.COLUMNS)
    assert why in compare.reason(found)


def test_something_to_compare_has_no_reason(run):
    assert compare.reason(Collection({"run": run(0.5)})) is None


def test_a_comparison_is_a_table_of_plain_values(run):
    found = compared(run(0.5))
    assert list(found) == list(compare.COLUMNS)
    assert isinstance(found, pd.DataFrame)
    assert not found["why"].isna().any()


def test_the_terminal_tells_each_number_and_why_it_may_differ(run):
    rows = [run(level, strategy=one) for one, level in (("degree", 0.9), ("unweighted", 0.5))]
    told = io.StringIO()
    console = Console(file=told, width=200)
    terminal.compare(Collection({f"run{i}": one for i, one in enumerate(rows)}), console)
    assert "source ranked 1" in told.getvalue()
    assert "[1] " in told.getvalue()
    terminal.compare(Collection({"run": run(0.9, kind="ws_33")}), console)
    assert "Nothing to compare with arXiv 2505.11760: " in told.getvalue()
