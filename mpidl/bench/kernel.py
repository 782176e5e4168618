"""Times of the mixing kernel on one rank, in each type of number, against torch, numpy and BLAS."""

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
"""Vectors that are mixed, by the mixing weights of BA(16, 2)."""

COLUMNS = 1 << 14
"""Numbers of each vector that BLAS multiplies at a time, so that they stay in the cache."""

TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def measure(
    comm: Comm, megabytes: list[float], repetitions: int, hardware: torch.device = clock.CPU
) -> list[dict[str, Any]]:
    """Collective. Seconds of one rank's mixing in each way, while the other ranks sleep.

    Args:
        comm: All ranks.
        megabytes: Sizes of each vector.
        repetitions: Times that each way is timed.
        hardware: The hardware of this rank.
    """
    torch.set_num_threads(1)
    node, results = Node(comm), []
    for size in megabytes:
        ways = candidates(size, hardware) if comm.rank == 0 else {}
        limit = 0.0
        for name in comm.bcast(list(ways)):
            mix = ways[name].mix if name in ways else _idle
            taken = clock.rounds(node, mix, repetitions, warm=1, hardware=hardware)
            times = clock.Times.of(taken)
            limit = limit or times.median
            results.append(
                {
                    "kernel": name,
                    "megabytes": size,
                    **({} if hardware.type == "cpu" else {"memory": hardware.type}),
                    **times.plain(),
                    "told": times.text(),
                    "of_copy": times.median / limit,
                }
            )
    node.close()
    return results


def _idle() -> None:
    """Do nothing, on ranks without work."""


@dataclass(frozen=True)
class Candidate:
    """One way to mix the vectors ``x`` into ``out``, ``(VECTORS, P)`` both."""

    mix: Callable[[], object]
    x: Tensor
    out: Tensor


def candidates(megabytes: float, hardware: torch.device = clock.CPU) -> dict[str, Candidate]:
    """Each way to mix vectors of a size, by name; the first only copies."""
    graph = topology(VECTORS)
    members = [[i, *sorted(graph.predecessors(i))] for i in range(VECTORS)]
    size = max(1, int(megabytes * 1e6 / 4))
    x, out = torch.rand(VECTORS, size).to(hardware), torch.zeros(VECTORS, size, device=hardware)
    return (_on_host if hardware.type == "cpu" else _on_accelerator)(members, x, out)


def _mixture(members: list[list[int]], x: Tensor, out: Tensor, own: bool = True) -> Candidate:
    """The way by mpidl's own kernel, or by torch if there is none or it is not wanted."""
    weights = np.concatenate([np.full(len(row), 1 / len(row)) for row in members])
    mixture = kernels.Mixture([[x[j] for j in row] for row in members], list(out))
    if not own:
        mixture.forgo_native()
    return Candidate(lambda: mixture(weights), x, out)


def _typed(members: list[list[int]], x: Tensor, out: Tensor) -> dict[torch.dtype, Candidate]:
    return {dtype: _mixture(members, x.to(dtype), out.to(dtype)) for dtype in TYPES}


def _matrix(members: list[list[int]]) -> Tensor:
    """W, ``(VECTORS, VECTORS)``."""
    matrix = torch.zeros(VECTORS, VECTORS)
    for i, row in enumerate(members):
        matrix[i, row] = 1 / len(row)
    return matrix


def _on_host(members: list[list[int]], x: Tensor, out: Tensor) -> dict[str, Candidate]:
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

    ways = {"copy": Candidate(lambda: np.copyto(out.numpy(), x.numpy()), x, out)}
    if kernels.NAME == "native":
        for dtype, way in _typed(members, x, out).items():
            ways[f"native {_short(dtype)}"] = way
    ways["torch by blocks"] = _mixture(members, x, out, own=False)
    ways["BLAS by blocks"] = Candidate(by_blas, x, out)
    ways["numpy row by row"] = Candidate(by_numpy, x, out)
    return ways


def _on_accelerator(members: list[list[int]], x: Tensor, out: Tensor) -> dict[str, Candidate]:
    """The ways to mix in the memory of an accelerator."""
    matrix = _matrix(members).to(x.device)
    ways = {"copy": Candidate(lambda: out.copy_(x), x, out)}
    used = kernels.used(x.device).split()[0]
    for dtype, way in _typed(members, x, out).items():
        ways[f"{used} {_short(dtype)}"] = way
    ways["torch row by row"] = _mixture(members, x, out, own=False)
    ways["matrix product"] = Candidate(lambda: torch.mm(matrix, x, out=out), x, out)
    return ways


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def lines(results: list[dict[str, Any]]) -> list[str]:
    """The results as lines of a table."""
    memory = results[0].get("memory") if results else None
    where = f" in {memory} memory" if memory else ""
    text = [
        f"mix, {VECTORS} vectors{where} by BA({VECTORS}, 2) on one rank: ms, median [quartiles]"
    ]
    text.append(f"  {'MB':>6}  {'kernel':20} {'ms':>24} {'x copy':>7}")
    text += [
        f"  {one['megabytes']:6g}  {one['kernel']:20} {one['told']:>24} {one['of_copy']:7.2f}"
        for one in results
    ]
    return text
