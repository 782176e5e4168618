"""Adjacency matrices of numpy (.npy) and scipy (.npz).

``A[i, j]`` is the probability of the link from i to j, as networkx and scipy have it.
"""

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import scipy.sparse

from mpidl.faults import Fault, printable
from mpidl.graphs.files import entries

BYTES = 256 * 2**20
"""That a packed matrix may have when it is unpacked."""


def graph(path: Path, kind: str) -> nx.DiGraph:
    """The graph of a matrix in a file of this kind: ``"npy"`` or ``"npz"``.

    Raises:
        Fault: If that is no square matrix of probabilities, or has more than may be read.
    """
    try:
        found = (_dense if kind == "npy" else _packed)(path)
        return _graph(path, found)
    except Fault:
        raise
    except Exception as error:
        # Over a damaged file numpy and scipy raise whatever comes up, errors of tokenize among it.
        told = printable(" ".join(str(error).split()))[:200].rstrip(".")
        raise Fault(f"Graph file {path}: is not valid .{kind}: {told}.") from None


def _graph(path: Path, found: Any) -> nx.DiGraph:
    _check_type(path, found.dtype)
    rows, columns, values = found.row, found.col, found.data
    links = entries.Links(path)
    entries.affordable(path, len(values))
    for i, j, value in zip(rows.tolist(), columns.tolist(), values.tolist(), strict=True):
        if value:
            where = f"row {i}, column {j} (from 0)"
            links.add((i, j), entries.probability(path, str(float(value)), where), where)
    notes = [*links.notes(), *asymmetry(links.chances)]
    return entries.graph(found.shape[0], links.chances, notes)


def asymmetry(chances: entries.Chances) -> list[str]:
    """A line on which way links go, where a matrix is not symmetric."""
    one_way = sum((j, i) not in chances for i, j in chances)
    if not one_way and all(chances[j, i] == chance for (i, j), chance in chances.items()):
        return []
    return [
        "its matrix A is not symmetric: A[i, j] is a link from i to j, by which j hears i, and "
        f"{one_way} of {len(chances)} links go one way"
    ]


def check_shape(path: Path, shape: tuple[int, ...]) -> None:
    """See whether a matrix is square, and not too large.

    Raises:
        Fault: If it is not.
    """
    if len(shape) != 2 or shape[0] != shape[1]:
        told = " x ".join(map(str, shape))
        raise Fault(f"Graph file {path}: has the shape {told}; an adjacency matrix is square.")
    entries.populated(path, shape[0])


def _check_type(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "biuf":
        raise Fault(f"Graph file {path}: is a matrix of {dtype}, not of probabilities.")


def _dense(path: Path) -> Any:
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    check_shape(path, found.shape)
    _check_type(path, found.dtype)
    entries.affordable(path, int(np.count_nonzero(found)))
    ends = np.nonzero(found)
    return scipy.sparse.coo_array((found[ends].astype(float), ends), shape=found.shape)


def _packed(path: Path) -> Any:
    """A sparse matrix of scipy, after a look at how much is packed there."""
    import zipfile

    with zipfile.ZipFile(path) as packed:
        sizes = {part.filename: part.file_size for part in packed.infolist()}
    if "format.npy" not in sizes:
        raise Fault(
            f"Graph file {path}: holds no sparse matrix of scipy (scipy.sparse.save_npz); a dense "
            "one is read as .npy."
        )
    if (unpacked := sum(sizes.values())) > BYTES:
        raise Fault(
            f"Graph file {path}: has {unpacked:,} bytes when it is unpacked; at most {BYTES:,} are "
            "read."
        )
    found = scipy.sparse.load_npz(path)
    check_shape(path, found.shape)
    if found.format in ("csr", "csc", "bsr"):
        # Its constructor does not look whether all indices are within the matrix.
        found.check_format(full_check=True)
    return scipy.sparse.coo_array(found)
