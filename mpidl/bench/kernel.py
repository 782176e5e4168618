"""The kernel of one rank against torch, numpy and BLAS, and in the types it can store."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mpidl.bench import clock
from mpidl.bench.exchange import topology
from mpidl.exchange import kernels
from mpidl.ranks.node import Node
from mpidl.ranks.world import Comm

VECTORS = 16
"""Vectors that are mixed, by the rows of BA(16, 2)."""

COLUMNS = 1 << 14
"""Columns that BLAS multiplies at a time, so that they stay in the cache."""

TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def measure(
    comm: Comm, megabytes: list[float], repetitions: int, hardware: torch.device = clock.CPU
) -> list[dict[str, Any]]:
    """Collective. Seconds of one rank's mixing in each way, while the other ranks sleep.

    Args:
        comm: All ranks.
        megabytes: Of each of the vectors.
        repetitions: How often each way is timed.
        hardware: Of this rank.
    """
    torch.set_num_threads(1)
    node, found = Node(comm), []
    for size in megabytes:
        rows = candidates(size, hardware) if comm.rank == 0 else {}
        limit = 0.0
        for name in comm.bcast(list(rows)):
            mix = rows[name].mix if name in rows else _idle
            taken = clock.rounds(node, mix, repetitions, warm=1, hardware=hardware)
            times = clock.Times.of(taken)
            limit = limit or times.median
            found.append(
                {
                    "kernel": name,
                    "megabytes": size,
                    **({} if hardware.type == "cpu" else {"memory": hardware.type}),
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

    mix: Callable[[], object]
    x: Tensor
    out: Tensor


def candidates(megabytes: float, hardware: torch.device = clock.CPU) -> dict[str, Candidate]:
    """Each way to mix vectors of so many megabytes; the first only copies."""
    graph = topology(VECTORS)
    members = [[i, *sorted(graph.predecessors(i))] for i in range(VECTORS)]
    size = max(1, int(megabytes * 1e6 / 4))
    x, out = torch.rand(VECTORS, size).to(hardware), torch.zeros(VECTORS, size, device=hardware)
    return (_here if hardware.type == "cpu" else _there)(members, x, out)


def _mixture(members: list[list[int]], x: Tensor, out: Tensor, own: bool = True) -> Candidate:
    """By a kernel of mpidl's own where there is one, or by torch."""
    weights = np.concatenate([np.full(len(row), 1 / len(row)) for row in members])
    made = kernels.Mixture([[x[j] for j in row] for row in members], list(out))
    if not own:
        made.forgo_native()
    return Candidate(lambda: made(weights), x, out)


def _typed(members: list[list[int]], x: Tensor, out: Tensor) -> dict[torch.dtype, Candidate]:
    return {dtype: _mixture(members, x.to(dtype), out.to(dtype)) for dtype in TYPES}


def _matrix(members: list[list[int]]) -> Tensor:
    """W, ``(VECTORS, VECTORS)``."""
    matrix = torch.zeros(VECTORS, VECTORS)
    for i, row in enumerate(members):
        matrix[i, row] = 1 / len(row)
    return matrix


def _here(members: list[list[int]], x: Tensor, out: Tensor) -> dict[str, Candidate]:
    """The ways to mix in host memory."""
    matrix, size = _matrix(members), x.shape[1]

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

    found = {"copy": Candidate(lambda: np.copyto(out.numpy(), x.numpy()), x, out)}
    if kernels.NAME == "native":
        for dtype, made in _typed(members, x, out).items():
            found[f"native {_short(dtype)}"] = made
    found["torch by blocks"] = _mixture(members, x, out, own=False)
    found["BLAS by blocks"] = Candidate(by_blas, x, out)
    found["numpy row by row"] = Candidate(by_numpy, x, out)
    return found


def _there(members: list[list[int]], x: Tensor, out: Tensor) -> dict[str, Candidate]:
    """The ways to mix in the memory of an accelerator."""
    matrix = _matrix(members).to(x.device)
    found = {"copy": Candidate(lambda: out.copy_(x), x, out)}
    used = kernels.used(x.device).split()[0]
    for dtype, made in _typed(members, x, out).items():
        found[f"{used} {_short(dtype)}"] = made
    found["torch row by row"] = _mixture(members, x, out, own=False)
    found["matrix product"] = Candidate(lambda: torch.mm(matrix, x, out=out), x, out)
    return found


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def told(found: list[dict[str, Any]]) -> list[str]:
    """The table as lines."""
    memory = found[0].get("memory") if found else None
    where = f" in {memory} memory" if memory else ""
    lines = [
        f"mix, {VECTORS} vectors{where} by BA({VECTORS}, 2) on one rank: ms, median [quartiles]"
    ]
    lines.append(f"  {'MB':>6}  {'kernel':20} {'ms':>24} {'x copy':>7}")
    lines += [
        f"  {row['megabytes']:6g}  {row['kernel']:20} {row['told']:>24} {row['of_copy']:7.2f}"
        for row in found
    ]
    return lines
