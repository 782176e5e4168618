"""What averages over graphs and data sets, beside the published averages."""

import pytest

from mpidl.report.collection import Collection
from mpidl.report.paper import compare, published


def compared(*runs):
    return compare.compare(Collection({f"run{i}": one for i, one in enumerate(runs)}))


def test_the_headline_by_every_reading(run):
    """T3's own bars, as if they were runs, give the numbers that were worked out from them."""
    runs = [
        run(
            one["value"] / 199,
            kind=one["graph"],
            data=one["data"],
            strategy=one["strategy"],
            study="paper",
        )
        for one in (one for one in published.numbers() if one["table"] == "T3")
    ]
    found = compared(*runs)
    bars = found[found["table"] == "T3"]
    assert len(bars) == 90
    assert bars["ours"].tolist() == pytest.approx(bars["theirs"].tolist())
    table = found[(found["table"] == "T1") & (found["rank"] == "1")]
    assert set(table["runs"]) == {30, 60, 75, 90}
    worked_out = table[table["note"].str.startswith("worked out from the bars")]
    assert len(worked_out) == 9
    assert (worked_out["difference"].abs() < 1.1).all()
    headline = table.iloc[0]
    assert headline["ours"] == pytest.approx(125.8, abs=0.1)
    federated = table[table["strategy"].str.contains("federated")].iloc[0]
    assert federated["theirs_low"] < federated["ours"] <= federated["theirs_high"]


def test_the_headline_takes_other_graphs_where_there_are_none_of_its_own(run):
    runs = [
        run(level, kind="ba_8_2", strategy=strategy, study="paper")
        for strategy, level in (("degree", 0.6), ("unweighted", 0.2), ("weighted", 0.3))
    ]
    found = compared(*runs)
    ours = found.set_index("strategy")["ours"]
    assert ours.to_dict() == pytest.approx({"degree/unweighted": 200, "degree/weighted": 100})
    assert set(found["comparable"]) == {"no"}
    assert "graphs ba_8_2, not ba_33_1" in found["why"][0]
    assert "data mnist, not mnist, fashion_mnist" in found["why"][0]
    assert found["low"].isna().all()


def test_gains_over_nothing_are_none(run):
    assert compared(run(0.6, kind="ba_8_2"), run(0.0, kind="ba_8_2", strategy="random")).empty


def test_sweeps_over_topologies(run):
    kinds = {"ws_8": 0.9, "ws_16": 0.7, "ws_33": 0.275}
    runs = [
        run(level, kind=kind, data="cifar10", rank=rank, study="paper")
        for kind, level in kinds.items()
        for rank in (1, 2, 3, 4)
    ]
    ends = compared(*runs)
    ends = ends[ends["table"] == "T6"]
    assert ends["x"].tolist() == [8, 33]
    assert ends["theirs"].tolist() == [124, 56]
    assert ends["ours"].tolist() == pytest.approx([0.9 * 199, 0.275 * 199])
    assert set(ends["comparable"]) == {"method differs"}


def test_no_line_is_drawn_beyond_our_runs(run):
    runs = [
        run(0.5, kind=kind, data="cifar10", rank=rank, study="paper")
        for kind in ("ba_8_2", "ba_16_2")
        for rank in (1, 2, 3, 4)
    ]
    ends = compared(*runs)
    (end,) = ends[ends["table"] == "T6"].to_dict("records")
    assert (end["x"], end["theirs"]) == (8, 97)
    assert "graphs ba_16_2, ba_8_2, not" in end["why"]


def test_the_overview_is_in_percent(run):
    found = compared(run((0.42, 0.54), kind="ba_64_2", data="cifar10", rank=4, study="paper"))
    table = found[found["table"] == "T2"]
    assert table["ours"].tolist() == pytest.approx([54, 42])
    assert table["difference"].tolist() == pytest.approx([0, 0])
