"""The data files of the publication, against what they must be."""

import math
from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from mpidl import plan
from mpidl.report.paper import published
from mpidl.storage import reader

ROOT = Path(__file__).parents[3]
STRATEGIES = ("federated", "unweighted", "weighted", "random", "betweenness", "degree")
GRAPHS = ("ba_33_1", "ba_33_2", "ba_33_3")
KEYS = ("graph", "data", "strategy")


def rows(table, **where):
    return [
        one
        for one in published.numbers()
        if one["table"] == table and all(one[key] == value for key, value in where.items())
    ]


def test_all_bars_and_lines_are_there():
    cells = set(product(GRAPHS, published.data(), STRATEGIES))
    bars = {tuple(one[key] for key in KEYS): one["value"] for one in rows("T3")}
    assert len(rows("T3")) == len(bars) == 90
    assert set(bars) == cells
    assert all(0 <= value <= 194 for value in bars.values())
    sums = {
        one: sum(v for (_, _, strategy), v in bars.items() if strategy == one) for one in STRATEGIES
    }
    assert list(sums.values()) == [230, 1158, 1169, 1021, 2387, 2329]
    ends = rows("T4", measure="ood_area_line")
    counts = Counter(tuple(one[key] for key in KEYS) for one in ends)
    assert counts == {cell: 1 if cell[2] == "federated" else 2 for cell in cells}
    hidden = [one for one in ends if math.isnan(one["value"])]
    assert {(one["graph"], one["strategy"]) for one in hidden} == {("ba_33_1", "unweighted")}
    assert len(hidden) == 6
    assert len(rows("T4", measure="ood_area")) == 5


def test_lines_begin_near_their_bars():
    bars = {tuple(one[key] for key in KEYS): one["value"] for one in rows("T3")}
    for one in rows("T4", measure="ood_area_line", x=1.0):
        if not math.isnan(one["value"]):
            assert abs(one["value"] - bars[tuple(one[key] for key in KEYS)]) < 27


def test_whiskers_hold_their_values():
    assert len(rows("T5", measure="difference")) == 20
    assert len(rows("T5", measure="iid_area")) == 5
    for one in rows("T5", measure="difference"):
        assert -200 <= one["low"] <= one["value"] <= one["high"] <= 200
    assert len(rows("T6")) == 4 * 3 * 2
    assert [one["value"] for one in rows("T2")] == [53, 20, 54, 42]
    assert {one["confidence"] for one in published.numbers()} == {"H", "M", "L"}


def test_sources_are_those_of_the_stored_graphs():
    for kind, seed in product(("ws_33", "ba_33_2", "sb_.009", "ba_64_2"), range(3)):
        text = (ROOT / f"topologies/{kind}_{seed}.txt").read_text().splitlines()[1]
        devices = [int(one) for one in text.partition(":")[2].split()]
        assert [published.rank(kind, seed, device) for device in devices] == [1, 2, 3, 4]
    assert published.rank("ba_33_2", 0, 32) is None
    lines = (ROOT / "launch/studies/paper/published/sources.csv").read_text().splitlines()
    assert len(lines) == 1 + 36 * 4


@pytest.mark.parametrize("data", published.data())
def test_the_studies_in_the_box_have_the_published_settings(data):
    path = ROOT / f"launch/studies/paper/{data}.toml"
    found = published.differences(reader.flat(path, plan.read(path, [], 33).text()))
    assert found.study == ()
    assert "init common, not per_device" in found.testbed
    assert "moment mixed, not trained" in found.testbed


@pytest.mark.parametrize("data", ["mnist", "tinymem"])
def test_the_testbeds_in_the_box_differ_in_nothing(data):
    path = ROOT / f"launch/studies/testbed/{data}.toml"
    told = reader.flat(path, plan.read(path, [], 33).text())
    assert published.differences(told) == published.Differences((), ())


def test_what_has_no_effect_is_no_difference():
    path = ROOT / "launch/studies/testbed/mnist.toml"
    plain = ["strategy.name='unweighted'", "strategy.temperature=1.0", "training.steps=7"]
    told = reader.flat(path, plan.read(path, plain, 33).text())
    assert published.differences(told).study == ("steps 7, not 5 epochs",)
    told = reader.flat(path, plan.read(path, ["strategy.temperature=1.0"], 33).text())
    assert published.differences(told).study == ("temperature 1.0, not 0.1",)
