"""Kernels of X <- W X over neighborhoods: native, Triton on accelerators, or torch."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

try:
    from mpidl.ranks import _native  # type: ignore[attr-defined]
except ImportError:
    _native = None

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mpidl.exchange.fused import Fused

NAME = "torch" if _native is None else "native"
"""The kernel that mixes on the CPU."""

TILE: int = getattr(_native, "TILE", 4096)
"""Columns whose squared distances are summed together, by every kernel."""

LANES = 16
"""Partial sums of a tile's squared distance, over columns in turn."""

ROOM = 256 << 20
"""Most bytes of accelerator memory for squared distances at a time."""

BLOCK = 1 << 15
"""Columns that torch mixes at a time, so that vectors stay in the cache."""

Array = npt.NDArray[np.float64]


def _last_level() -> int:
    try:
        return max(os.sysconf("SC_LEVEL3_CACHE_SIZE"), os.sysconf("SC_LEVEL2_CACHE_SIZE"))
    except (OSError, ValueError):
        return 0


CACHE = _last_level() or 32 << 20
"""Bytes of the last cache. Larger mixtures are written past it."""


class Mixture:
    """Rows of W over fixed members, prepared once; weights are passed at each call.

    Members of weight 0 are not read, so the old vector of a dropped link cannot reach a sum. The
    native kernel and torch give the same bits: products and sums are rounded one after the other,
    in the order of the members, in float32 for 16-bit numbers and in their own type for others.

    Args:
        members: For each of I rows its K vectors ``(P,)``, contiguous, of one floating type, on
            one accelerator.
        outs: I vectors ``(P,)``, none of them a member.
        stream: Whether mixtures are written past the cache; None means if they are larger.
    """

    def __init__(
        self,
        members: Sequence[Sequence["Tensor"]],
        outs: Sequence["Tensor"],
        stream: bool | None = None,
    ) -> None:
        self.members, self._outs = members, outs
        self.offsets = np.cumsum([0, *map(len, members)])
        """Where the weights of each row begin, ``(I + 1,)``."""
        self._columns = len(outs[0]) if outs else 0
        self._native = None
        if outs and outs[0].device.type == "cpu":
            self._native = getattr(_native, f"mix_{str(outs[0].dtype).rpartition('.')[2]}", None)
        bytes_ = 2 * len(outs) * self._columns * (outs[0].itemsize if outs else 0)
        self._stream = bytes_ > CACHE if stream is None else stream
        self._fused: Fused | None = None
        if outs and outs[0].device.type != "cpu" and self._columns and all(map(len, members)):
            kernel = _accelerated(outs[0].device)
            self._fused = kernel(members, outs) if kernel is not None else None
        if self._native is not None:
            flat = [vector.data_ptr() for row in members for vector in row]
            self._addresses = np.array(flat, np.uintp)
            self._targets = np.array([vector.data_ptr() for vector in outs], np.uintp)
            # Numpy takes a microsecond to tell an address.
            self._tables = [a.ctypes.data for a in (self.offsets, self._addresses, self._targets)]

    def __call__(self, weights: Array, squares: Array | None = None) -> None:
        """Write ``sum_k W[i, k] * members[i][k]`` into every ``outs[i]``.

        Args:
            weights: The weights of all rows, one after another, ``(sum K,)``.
            squares: Receives, for each tile of columns and each row, the squared distance between
                the mixture and the mean of all mixtures, ``(ceil(P / TILE), I)``.
        """
        if len(weights) != self.offsets[-1]:
            raise ValueError(f"{len(weights)} weights for {self.offsets[-1]} members")
        if not self._outs or not self._columns:
            return
        if self._fused is not None and squares is None:
            self._fused(weights)
            return
        if self._native is None:
            self._by_torch(weights, squares)
            return
        offsets, addresses, targets = self._tables
        self._native(
            offsets,
            addresses,
            weights.ctypes.data,
            targets,
            len(self._outs),
            0,
            self._columns,
            self._stream,
            0 if squares is None else squares.ctypes.data,
        )

    def forgo_native(self) -> None:
        """Mix with torch although there is another kernel, to compare the two."""
        self._native = self._fused = None

    def _by_torch(self, weights: Array, squares: Array | None) -> None:
        on_cpu = self._outs[0].device.type == "cpu"
        step = BLOCK if on_cpu else self._columns
        for start in range(0, self._columns, step):
            part = slice(start, start + step)
            for row, out in enumerate(self._outs):
                own = weights[self.offsets[row] : self.offsets[row + 1]]
                _sum(own, [m[part] for m in self.members[row]], out[part])
        if squares is not None:
            for tile in range(len(squares)):
                part = slice(tile * TILE, (tile + 1) * TILE)
                squares[tile] = _squares([out[part] for out in self._outs])


_tried: dict[str, tuple["type[Fused] | None", str]] = {}


def _accelerated(device: "torch.device") -> "type[Fused] | None":
    """The kernel for this kind of accelerator, tried once; None if torch has to mix."""
    if device.type not in _tried:
        try:
            from mpidl.exchange import fused

            fused.prove(device)
            _tried[device.type] = fused.Fused, "triton"
        except Exception as error:
            # Triton needs a compiler, a driver and room for its cache; if it lacks one of
            # them, torch mixes.
            reason = (str(error).splitlines() or [""])[0]
            _tried[device.type] = None, f"torch (Triton: {type(error).__name__}: {reason[:80]})"
    return _tried[device.type][0]


def used(device: "torch.device") -> str:
    """The kernel that mixes vectors in this hardware's memory; it is tried at the first call."""
    if device.type == "cpu":
        return NAME
    _accelerated(device)
    return _tried[device.type][1]


def _sum(weights: Array, members: Sequence["Tensor"], out: "Tensor") -> None:
    total: Tensor | None = None
    for weight, member in zip(weights.tolist(), members, strict=True):
        if weight:
            product = (member.float() if member.itemsize < 4 else member) * weight
            # The first product is not added to 0, which would lose the sign of a negative zero.
            total = product if total is None else total.add_(product)
    if total is None:
        out.zero_()
    else:
        out.copy_(total)


def _squares(vectors: Sequence["Tensor"]) -> list[float]:
    import torch

    mean = torch.empty(len(vectors[0]), dtype=torch.promote_types(vectors[0].dtype, torch.float32))
    mean = mean.to(vectors[0].device)
    _sum(np.full(len(vectors), 1 / len(vectors)), vectors, mean)
    return [_apart(vector, mean) for vector in vectors]


def _apart(vector: "Tensor", mean: "Tensor") -> float:
    import torch

    return float(torch.linalg.vector_norm(vector - mean, dtype=torch.float64)) ** 2


def apart(vectors: Sequence["Tensor"], mean: "Tensor") -> list[float]:
    """``||x - mean||_2`` of each x, tile by tile as a measured :class:`Mixture` adds it.

    On accelerators additions are those of the native kernel, in its order, so bits are the same.

    Args:
        vectors: Each ``(P,)``, contiguous, of one type.
        mean: ``(P,)``, contiguous, of the type in which such vectors are summed, on their hardware.
    """
    if mean.device.type != "cpu":
        distances: list[float] = np.sqrt(_tiles_there(vectors, mean).sum(axis=1)).tolist()
        return distances
    return [_apart_here(vector, mean) for vector in vectors]


def _apart_here(vector: "Tensor", mean: "Tensor") -> float:
    tiles = np.zeros(-(-len(vector) // TILE))
    native = getattr(_native, f"apart_{str(vector.dtype).rpartition('.')[2]}", None)
    if native is not None:
        native(vector.data_ptr(), mean.data_ptr(), len(vector), tiles.ctypes.data)
    else:
        for tile in range(len(tiles)):
            part = slice(tile * TILE, (tile + 1) * TILE)
            tiles[tile] = _apart(vector[part], mean[part])
    return float(np.sqrt(tiles.sum()))


def _tiles_there(vectors: Sequence["Tensor"], mean: "Tensor") -> Array:
    """The squared distances of vectors from their mean, by tile, ``(D, tiles)``."""
    fit = max(1, ROOM // (8 * TILE * len(vectors)))
    parts = [slice(at, at + fit * TILE) for at in range(0, len(mean), fit * TILE)]
    return np.concatenate([_squares_there([v[p] for v in vectors], mean[p]) for p in parts], axis=1)


def _squares_there(vectors: Sequence["Tensor"], mean: "Tensor") -> Array:
    import torch

    size, tiles = len(mean), -(-len(mean) // TILE)
    squares = mean.new_zeros(len(vectors), tiles * TILE, dtype=torch.float64)
    for row, vector in zip(squares, vectors, strict=True):
        row[:size] = vector.to(mean.dtype) - mean
    steps = squares.square_().view(len(vectors), tiles, -1, LANES)
    sums = steps[:, :, 0].clone()
    for step in range(1, steps.shape[2]):
        sums += steps[:, :, step]
    totals = sums[..., 0].clone()
    for lane in range(1, LANES):
        totals += sums[..., lane]
    return totals.cpu().numpy()


def mix(weights: Array, members: Sequence["Tensor"], out: "Tensor") -> None:
    """Write ``sum_k weights[k] * members[k]`` into ``out``; see :class:`Mixture`.

    Args:
        weights: One row over the members, ``(K,)``.
        members: ``K`` vectors ``(P,)``, contiguous, of one floating type, on one accelerator.
        out: ``(P,)``, none of the members.
    """
    Mixture([members], [out])(np.ascontiguousarray(weights, np.float64))


def cut(size: int, parts: int, number: int) -> slice:
    """The columns of one of several parts: whole tiles, except at the end of the vector."""
    tiles = -(-size // TILE)
    edges = [min(size, tiles * at // parts * TILE) for at in (number, number + 1)]
    return slice(*edges)
