"""The kernel of one rank against torch, numpy and BLAS, and in the types it can store."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mpidl import kernels
from mpidl.bench import clock
from mpidl.bench.exchange import topology
from mpidl.node import Node
from mpidl.world import Comm

VECTORS = 16
"""Vectors that are mixed, by the rows of BA(16, 2)."""

COLUMNS = 1 << 14
"""Columns that BLAS multiplies at a time, so that they stay in the cache."""

TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def measure(comm: Comm, megabytes: list[float], repetitions: int) -> list[dict[str, Any]]:
    """Collective. Seconds of one rank's mixing in each way, while the other ranks sleep."""
    torch.set_num_threads(1)
    node, found = Node(comm), []
    for size in megabytes:
        rows = candidates(size) if comm.rank == 0 else {}
        limit = 0.0
        for name in comm.bcast(list(rows)):
            taken = clock.rounds(
                node, rows[name].mix if name in rows else _idle, repetitions, warm=1
            )
            times = clock.Times.of(taken)
            limit = limit or times.median
            found.append(
                {
                    "kernel": name,
                    "megabytes": size,
                    **times.plain(),
                    "told": times.told(),
                    "of_copy": times.median / limit,
                }
            )
    node.close()
    return found


def _idle() -> None:
    """What ranks without work do."""


@dataclass(frozen=True)
class Candidate:
    """One way to mix the vectors ``x`` into ``out``, ``(VECTORS, P)`` both."""

    mix: Callable[[], None]
    x: Tensor
    out: Tensor


def candidates(megabytes: float) -> dict[str, Candidate]:
    """Each way to mix; the first only copies."""
    graph = topology(VECTORS)
    members = [[i, *sorted(graph.predecessors(i))] for i in range(VECTORS)]
    weights = np.concatenate([np.full(len(row), 1 / len(row)) for row in members])
    size = max(1, int(megabytes * 1e6 / 4))
    x, out = torch.rand(VECTORS, size), torch.zeros(VECTORS, size)
    matrix = torch.zeros(VECTORS, VECTORS)
    for i, row in enumerate(members):
        matrix[i, row] = 1 / len(row)

    def mixture(native: bool, x: Tensor, out: Tensor) -> Candidate:
        made = kernels.Mixture([[x[j] for j in row] for row in members], list(out))
        if not native:
            made.forgo_native()
        return Candidate(lambda: made(weights), x, out)

    def by_numpy() -> None:
        a, b = x.numpy(), out.numpy()
        for i, row in enumerate(members):
            np.multiply(a[i], 1 / len(row), out=b[i])
            for j in row[1:]:
                b[i] += a[j] / len(row)

    def by_blas() -> None:
        for start in range(0, size, COLUMNS):
            part = slice(start, start + COLUMNS)
            out[:, part] = matrix @ x[:, part]

    copy = Candidate(lambda: np.copyto(out.numpy(), x.numpy()), x, out)
    found = {"copy": copy}
    if kernels.NAME == "native":
        for dtype in TYPES:
            short = str(dtype).removeprefix("torch.")
            found[f"native {short}"] = mixture(True, x.to(dtype), out.to(dtype))
    found["torch by blocks"] = mixture(False, x, out)
    found["BLAS by blocks"] = Candidate(by_blas, x, out)
    found["numpy row by row"] = Candidate(by_numpy, x, out)
    return found


def told(found: list[dict[str, Any]]) -> list[str]:
    """The table as lines."""
    lines = [f"mix, {VECTORS} vectors by BA({VECTORS}, 2) on one rank: ms, median [quartiles]"]
    lines.append(f"  {'MB':>6}  {'kernel':20} {'ms':>24} {'x copy':>7}")
    lines += [
        f"  {row['megabytes']:6g}  {row['kernel']:20} {row['told']:>24} {row['of_copy']:7.2f}"
        for row in found
    ]
    return lines
