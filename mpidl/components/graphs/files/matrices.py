"""Adjacency matrices of numpy (.npy) and scipy (.npz).

``A[i, j]`` is the probability of the link from i to j, as networkx and scipy have it. A dense
matrix that is called W in an ``.npz`` (``numpy.savez(file, W=W)``) is the mixing matrix:
``W[i, j]`` is the weight by which i counts j.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.components.graphs import link_weights
from mpidl.components.graphs.files import entries
from mpidl.components.graphs.topology import Topology
from mpidl.config.faults import Fault, printable

Array = npt.NDArray[Any]

Entries = tuple[int, tuple[Array, ...], Array]
"""The size of a matrix, rows and columns of its entries, ``(2, E)``, and their values, ``(E,)``."""

MIXING = "W.npy"
"""What the mixing matrix is called there."""

BYTES = 256 * 2**20
"""That a packed matrix may have when it is unpacked."""


def topology(path: Path, kind: str) -> Topology:
    """The graph of a matrix in a file of this kind: ``"npy"`` or ``"npz"``.

    Raises:
        Fault: If that is no square matrix of probabilities, or has more than may be read.
    """
    try:
        if kind == "npy":
            return _topology(path, _dense(path))
        names = _unpacked(path)
        if MIXING in names:
            return link_weights.mixing(f"Graph file {path}", *_weights(path))
        if "format.npy" in names:
            return _topology(path, _packed(path))
    except Fault:
        raise
    except Exception as error:
        # Over a damaged file numpy and scipy raise whatever comes up, errors of tokenize among it.
        reason = printable(" ".join(str(error).split()))[:200].rstrip(".")
        raise Fault(f"Graph file {path}: is not valid .{kind}: {reason}.") from None
    raise Fault(
        f"Graph file {path}: holds neither a sparse matrix of scipy (scipy.sparse.save_npz) nor a "
        "mixing matrix (numpy.savez with W=); a dense matrix of probabilities is read as .npy."
    )


def _topology(path: Path, found: Entries) -> Topology:
    size, (rows, columns), values = found
    links = entries.Links(path, "; a mixing matrix W is read as numpy.savez(file, W=W) writes it")
    entries.affordable(path, len(values))
    for i, j, value in zip(rows.tolist(), columns.tolist(), values.tolist(), strict=True):
        if value:
            where = f"row {i}, column {j} (from 0)"
            links.add((i, j), entries.probability(path, str(float(value)), where), where)
    return entries.topology(size, links.chances, [*links.notes(), *asymmetry(links.chances)])


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
        sizes = " x ".join(map(str, shape))
        raise Fault(f"Graph file {path}: has the shape {sizes}; an adjacency matrix is square.")
    entries.populated(path, shape[0])


def _check_type(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "biuf":
        raise Fault(f"Graph file {path}: is a matrix of {dtype}, not of probabilities.")


def _dense(path: Path) -> Entries:
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    check_shape(path, found.shape)
    _check_type(path, found.dtype)
    entries.affordable(path, int(np.count_nonzero(found)))
    ends = np.nonzero(found)
    return len(found), ends, found[ends]


def _unpacked(path: Path) -> set[str]:
    """The names of what is packed, after a look at how much it is."""
    import zipfile

    with zipfile.ZipFile(path) as packed:
        sizes = {part.filename: part.file_size for part in packed.infolist()}
    if (unpacked := sum(sizes.values())) > BYTES:
        raise Fault(
            f"Graph file {path}: has {unpacked:,} bytes when it is unpacked; at most {BYTES:,} are "
            "read."
        )
    return {*sizes}


def _weights(path: Path) -> tuple[int, link_weights.Entries]:
    """The size of W, and its entries."""
    with np.load(path, allow_pickle=False) as found:
        matrix = found["W"]
    check_shape(path, matrix.shape)
    _check_type(path, matrix.dtype)
    rows, columns = np.nonzero(matrix)
    entries.affordable(path, len(rows))
    return len(matrix), (rows, columns, matrix[rows, columns])


def _packed(path: Path) -> Entries:
    """A sparse matrix of scipy.

    scipy's own reader gives what it finds to C++, which a damaged file leads out of its memory.
    """
    with np.load(path, allow_pickle=False) as found:
        form, shape = bytes(found["format"].item()).decode(), found["shape"].tolist()
        check_shape(path, tuple(shape))
        _check_type(path, found["data"].dtype)
        ends = _ends(path, form, shape[0], found)
        if any(len(one) and not 0 <= one.min() <= one.max() < shape[0] for one in ends):
            raise ValueError("an entry is outside the matrix")
        return shape[0], ends, found["data"]


def _ends(path: Path, form: str, size: int, found: Mapping[str, Array]) -> tuple[Array, ...]:
    """Rows and columns of the entries of a sparse matrix."""
    if form == "coo":
        ends = found["coords"] if "coords" in found else (found["row"], found["col"])
        return tuple(ends)
    if form not in ("csr", "csc"):
        raise Fault(
            f"Graph file {path}: is a sparse matrix of the form {form!r}, which is not read; 'csr' "
            "(matrix.tocsr()), 'csc' and 'coo' are."
        )
    across: Array = found["indices"]
    many: Array = np.diff(found["indptr"].astype(np.int64))
    if len(many) != size or many.min() < 0 or many.max() > size or many.sum() != len(across):
        raise ValueError("its indptr does not fit")
    along = np.repeat(np.arange(size), many)
    return (along, across) if form == "csr" else (across, along)
