"""Tidy tables with the numbers of runs, for other programs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from mpidl.report.collection import Collection
from mpidl.report.whole import whole
from mpidl.storage import reader, schema

if TYPE_CHECKING:
    import xarray as xr

KEYS = ("run", "strategy", "cell", "seed")
PLACES = ("device", "hops", "source", "round")


def write(
    collection: Collection,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Write ``runs.csv``, ``devices.csv``, and the tidy table as ``tidy.csv`` and ``.parquet``.

    ``runs.csv`` is :attr:`Collection.runs`, a line a run; ``devices.csv`` is
    :attr:`Collection.devices`, a line a device of a run. The tidy table has a line for each run,
    device and round (from 1): ``run``, ``strategy``, ``cell``, ``seed``, every factor, ``device``,
    ``hops``, ``source``, ``round``, and every metric of the results file that is one number a
    device and round, in the units of :mod:`mpidl.storage.schema`; empty where nothing was measured.
    It is written run by run, so memory does not grow with their number.

    Args:
        collection: The runs.
        folder: The folder, which must exist.
        progress: Called with the number of runs that are written, and of all runs.

    Returns:
        The files.
    """
    small = [folder / "runs.csv", folder / "devices.csv"]
    for path, table in zip(small, (collection.runs, collection.devices), strict=True):
        with whole(path) as beside:
            table.to_csv(beside, index=False)
    tidy = [folder / "tidy.csv", folder / "tidy.parquet"]
    layout = _layout(collection)
    names = [field.name for field in layout if field.type == pa.string()]
    lines = collection.runs[names].astype(object)
    lines = lines.where(lines.isna(), lines.astype(str)).replace({np.nan: None})
    with (
        whole(tidy[0]) as beside,
        whole(tidy[1]) as beside_parquet,
        csv.CSVWriter(beside, layout) as text,
        parquet.ParquetWriter(beside_parquet, layout) as binary,
    ):
        for count, run_values in enumerate(lines.to_dict("records"), 1):
            run = reader.open(collection.summaries[run_values["run"]].path, schema.SCALARS)
            table = _table(run, {str(key): value for key, value in run_values.items()}, layout)
            text.write_table(table)
            binary.write_table(table)
            progress(count, len(collection.summaries))
    return [*small, *tidy]


def _layout(collection: Collection) -> pa.Schema:
    numbers = {"i8": pa.int64(), "f8": pa.float64()}
    metrics = [
        (key, numbers[schema.SERIES[key].dtype])
        for key in schema.SCALARS
        if collection.value == "accuracy" or "_accuracy_" not in key
    ]
    own = dict.fromkeys(key for one in collection.summaries.values() for key in one.own_series)
    metrics += [(key, pa.float64()) for key in own]
    named = [(key, pa.string()) for key in (*KEYS, *collection.factors)]
    return pa.schema([*named, *((key, pa.int64()) for key in PLACES), *metrics])


def _table(run: "xr.Dataset", run_values: Mapping[str, Any], layout: pa.Schema) -> pa.Table:
    """The lines of one run, device by device within a round."""
    rounds, devices = run.sizes["round"], run.sizes["device"]
    columns = {}
    for field in layout:
        if field.name in run_values:
            value = pa.scalar(run_values[field.name], pa.string())
            columns[field.name] = pa.repeat(value, rounds * devices)
        elif field.name == "round":
            columns[field.name] = pa.array(np.repeat(run["round"].to_numpy() + 1, devices))
        elif field.name in PLACES:
            columns[field.name] = pa.array(np.tile(run[field.name].to_numpy(), rounds))
        elif field.name in run:
            values = run[field.name].to_numpy().ravel()
            columns[field.name] = pa.array(values, field.type, from_pandas=True)
        else:
            columns[field.name] = pa.nulls(rounds * devices, field.type)
    return pa.table(columns, schema=layout)
