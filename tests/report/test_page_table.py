"""Cells of the page: digits that say enough and no more, and small curves."""

import numpy as np
import pandas as pd
import pytest

from mpidl.report.page import sections, table


def test_columns_that_nobody_described_have_a_heading():
    assert table.described("some_measure").head == "some measure"
    assert table.described("training.lr").exact
    ends = table.described("ood_level_seeds_low")
    assert (ends.head, ends.unit, ends.decimals) == ("OOD level", "low", 3)
    assert "seeds" in ends.why
    assert table.described("difference", "pairs").unit != table.described("difference").unit


def test_intervals_are_promised_where_a_table_has_them():
    frame = pd.DataFrame({"strategy": ["degree"], "ood_level": [0.5]})
    assert "ntervals" not in table.of(frame, "groups").text
    assert "Intervals are 95 %" in table.of(frame.assign(ood_level_seeds_low=0.4), "groups").text


def test_the_frame_that_is_shown_is_left_as_it_is():
    frame = pd.DataFrame({1: [1.0]}, index=pd.Index(["a"], name="run"))
    shown = table.of(frame, "runs", ("run",))
    assert [column.key for column in shown.columns] == ["run", "1"]
    assert shown.few == 1
    assert list(frame.columns) == [1]


@pytest.mark.parametrize(
    ("key", "values", "shown"),
    [
        ("ood_level", [1.0, 0.12345, None], ["1.000", "0.123", table.DASH]),
        ("links", [28.0, float("nan"), 1234.0], ["28", table.DASH, "1,234"]),
        ("consensus_last", [0.123456, 4.1234e-6, 0.0], ["0.123", "4.12e-6", "0"]),
        ("seconds", [123.4, 7.0], ["123", "7"]),
        ("difference", [-196.038, 103.5], ["-196", "104"]),
        ("bytes", [2_154_880.0, 0.0], ["2.15", "0.00"]),
        ("training.lr", [0.1, 0.025], ["0.1", "0.025"]),
        ("completed", [True, False], ["yes", "no"]),
        ("other", [float("inf"), 1.0], ["inf", "1"]),
        ("other", [None, None], [table.DASH, table.DASH]),
    ],
)
def test_numbers_have_sensible_digits(key, values, shown):
    assert table.column(table.described(key), pd.Series(values, dtype=object))[1] == shown


def test_a_curve_becomes_a_short_path():
    assert sections.sparkline([]) == sections.sparkline([float("nan")]) == ""
    assert sections.sparkline([0.0, 1.0]) == "M2 16L70 2"
    assert sections.sparkline([0.5]) == "M2 9L2 9"
    assert len(sections.sparkline(np.linspace(-1, 2, 1000).tolist())) < 250
