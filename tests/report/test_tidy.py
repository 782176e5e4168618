"""Tables that other programs read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mpidl.report import shelf, tidy
from mpidl.storage import schema

Write = Callable[..., Path]


@pytest.fixture
def made(write: Write, tmp_path: Path) -> dict[str, pd.DataFrame]:
    """Tables of two runs: 3 rounds of 2 devices, and 4 rounds of 3 of which 2 are done."""
    first = np.arange(6.0).reshape(3, 2) / 10
    second = np.full((4, 3), 0.5)
    second[0] = np.nan
    paths = [
        write(tmp_path / "a.h5", first, settings=["strategy.name=degree"]),
        write(
            tmp_path / "b.h5",
            second,
            settings=["strategy.name=random", "training.lr=0.5"],
            done=2,
            completed=False,
            moments=["mixed"],
        ),
    ]
    files = tidy.write(shelf.read(paths), tmp_path)
    assert [file.name for file in files] == ["runs.csv", "devices.csv", "tidy.csv", "tidy.parquet"]
    return {
        file.name: pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
        for file in files
    }


def test_a_line_for_each_run_device_and_round(made: dict[str, pd.DataFrame]) -> None:
    table = made["tidy.parquet"]
    assert len(table) == 3 * 2 + 2 * 3
    assert set(schema.SCALARS) < set(table)
    line = table.query("run == 'a' and device == 1 and round == 3").iloc[0]
    assert line["ood_accuracy_mixed"] == 0.5
    assert list(line[["strategy", "training.lr", "hops", "source"]]) == ["degree", "0.1", 1, 0]
    other = table.query("run == 'b'")
    assert set(other["round"]) == {1, 2}
    assert other["ood_accuracy_mixed"].isna().sum() == 3
    assert other["ood_accuracy_trained"].isna().all()
    assert (other["training.lr"] == "0.5").all()


def test_text_and_binary_say_the_same(made: dict[str, pd.DataFrame]) -> None:
    text, binary = made["tidy.csv"], made["tidy.parquet"]
    assert list(text) == list(binary)
    for key in text:
        if binary[key].dtype.kind == "f":
            np.testing.assert_allclose(text[key].astype(float), binary[key])
    assert list(text["run"]) == list(binary["run"])


def test_runs_and_devices_have_a_line_each(made: dict[str, pd.DataFrame]) -> None:
    assert list(made["runs.csv"]["run"]) == ["a", "b"]
    assert list(made["runs.csv"]["completed"]) == [True, False]
    assert len(made["devices.csv"]) == 5
    np.testing.assert_allclose(made["devices.csv"]["ood_area"][:2], [0.4, 0.6])
