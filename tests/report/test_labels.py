"""What runs are compared by, in words."""

import pytest

from mpidl.report import labels
from mpidl.report.page import table

BOTH = ["strategy.name", "strategy.temperature", "algorithm.name", "network.latency"]


@pytest.mark.parametrize(
    ("factors", "many", "by"),
    [
        ([], "strategies", ""),
        (["strategy.name", "training.lr"], "strategies", "strategy"),
        (["algorithm.name", "algorithm.gamma"], "algorithms", "algorithm"),
        (["strategy.temperature"], "strategies", "temperature"),
        (BOTH, "combinations", "algorithm and strategy"),
        (["attack.name", "network.latency", "graph"], "strategies", "attack, latency and graph"),
        (["graph", *(f"training.{key}" for key in "abc")], "strategies", "settings"),
    ],
)
def test_titles_and_tables_say_what_is_compared(factors: list[str], many: str, by: str) -> None:
    found = labels.compared(factors)
    assert (found.many, found.by) == (many, by)
    assert found.titled("level") == (f"level by {by}" if by else "level")
    assert f"all ranked {many}." in table.described("blocks", "", found).why
