"""Fused kernel X <- W X in accelerator memory: one Triton kernel for all rows of W, in one pass.

Importing this needs Triton; :mod:`mpidl.exchange.kernels` does so only if vectors are on an
accelerator.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import triton
import triton.language as tl
from torch import Tensor

Array = npt.NDArray[np.float64]

BLOCK = 1024
"""Columns of a program of the kernel: eight to each of its threads."""

WARPS = 4
"""Of 32 threads, in a program of the kernel."""

ALIGNMENT = 16
"""Bytes that a thread loads at once if all vectors begin on multiples of them."""

NUMBERS = {
    torch.float16: tl.float16,
    torch.bfloat16: tl.bfloat16,
    torch.float32: tl.float32,
    torch.float64: tl.float64,
}


@triton.jit  # type: ignore[untyped-decorator]
def _sum(  # type: ignore[no-untyped-def]
    at,
    columns,
    begin,
    end,
    addresses,
    weights,
    target,
    BLOCK: tl.constexpr,  # noqa: N803
    NUMBER: tl.constexpr,  # noqa: N803
    SUM: tl.constexpr,  # noqa: N803
    ALIGNED: tl.constexpr,  # noqa: N803
    FULL: tl.constexpr,  # noqa: N803
):
    """The columns ``at`` of one row of W; only a full block needs no mask."""
    # Without a mask the compiler joins the loads of neighboring columns; with one it cannot.
    inside = None if FULL else at < columns
    # The sum begins with a product, not with 0, which would lose the sign of a negative zero.
    total = tl.zeros([BLOCK], SUM)
    weight = tl.load(weights + begin)
    if weight != 0:
        member = tl.load(addresses + begin).to(tl.pointer_type(NUMBER))
        if ALIGNED:
            member = tl.multiple_of(member, 16)
        total = tl.load(member + at, mask=inside).to(SUM) * weight
    for k in range(begin + 1, end):
        weight = tl.load(weights + k)
        # The vector of a dropped link is not read: it may hold anything, even NaN.
        if weight != 0:
            member = tl.load(addresses + k).to(tl.pointer_type(NUMBER))
            if ALIGNED:
                member = tl.multiple_of(member, 16)
            total += tl.load(member + at, mask=inside).to(SUM) * weight
    tl.store(target + at, total.to(NUMBER), mask=inside)


# One variant for all numbers of rows and columns, so that runs use the variant that was proved.
@triton.jit(do_not_specialize=["rows", "columns"])  # type: ignore[untyped-decorator]
def _mix(  # type: ignore[no-untyped-def]
    offsets,
    addresses,
    weights,
    targets,
    rows,
    columns,
    BLOCK: tl.constexpr,  # noqa: N803
    NUMBER: tl.constexpr,  # noqa: N803
    SUM: tl.constexpr,  # noqa: N803
    ALIGNED: tl.constexpr,  # noqa: N803
):
    """One block of columns of one row; neighboring programs take the rows of the same block."""
    row = tl.program_id(0) % rows
    first = (tl.program_id(0) // rows).to(tl.int64) * BLOCK
    at = first + tl.arange(0, BLOCK)
    begin = tl.load(offsets + row)
    end = tl.load(offsets + row + 1)
    target = tl.load(targets + row).to(tl.pointer_type(NUMBER))
    if ALIGNED:
        target = tl.multiple_of(target, 16)
    if first + BLOCK <= columns:
        _sum(at, columns, begin, end, addresses, weights, target, BLOCK, NUMBER, SUM, ALIGNED, True)
    else:
        _sum(
            at, columns, begin, end, addresses, weights, target, BLOCK, NUMBER, SUM, ALIGNED, False
        )


class Fused:
    """Rows of W over fixed members, on one accelerator; see :class:`.kernels.Mixture`.

    The bits are those of torch except the sign of a zero: products and sums are rounded one
    after the other, in the order of the members, so the compiler must not fuse them.

    Args:
        members: For each of I rows its K vectors ``(P,)``, K at least 1.
        outs: I vectors ``(P,)``.
    """

    def __init__(self, members: Sequence[Sequence[Tensor]], outs: Sequence[Tensor]) -> None:
        self._kept = members, outs
        self._device, number = outs[0].device, outs[0].dtype
        self._rows, self._columns = len(outs), len(outs[0])
        flat = [vector.data_ptr() for row in members for vector in row]
        targets = [vector.data_ptr() for vector in outs]
        self._offsets = self._there(np.cumsum([0, *map(len, members)]))
        self._addresses, self._targets = self._there(flat), self._there(targets)
        wide = torch.promote_types(number, torch.float32)
        self._weights = torch.zeros(len(flat), dtype=wide, device=self._device)
        self._last: Array | None = None
        self._number, self._sum = NUMBERS[number], NUMBERS[wide]
        self._aligned = all(address % ALIGNMENT == 0 for address in flat + targets)

    def _there(self, numbers: Sequence[int] | npt.NDArray[np.int64]) -> Tensor:
        # Addresses of an XPU do not fit into a signed number, but their bits do.
        bits = np.asarray(numbers, np.uint64).view(np.int64)
        return torch.from_numpy(bits).to(self._device)

    def __call__(self, weights: Array) -> None:
        """Write the mixtures with these weights, ``(sum K,)``, on the current stream."""
        if self._last is None or not np.array_equal(weights, self._last):
            self._last = weights.copy()
            self._weights.copy_(torch.from_numpy(self._last))
        grid = (self._rows * triton.cdiv(self._columns, BLOCK),)
        _mix[grid](
            self._offsets,
            self._addresses,
            self._weights,
            self._targets,
            self._rows,
            self._columns,
            BLOCK=BLOCK,
            NUMBER=self._number,
            SUM=self._sum,
            ALIGNED=self._aligned,
            num_warps=WARPS,
            enable_fp_fusion=False,
        )


def prove(device: torch.device) -> None:
    """Compile the kernel as runs use it, and compare its result with torch's.

    Raises:
        RuntimeError: If they differ.
    """
    generator = torch.Generator().manual_seed(0)
    # As in an exchange: vectors are aligned, and the last block of columns is not full.
    drawn = torch.randn(5, BLOCK + 64, generator=generator).to(device)
    a, b, never, *outs = (row[: BLOCK + 1] for row in drawn)
    never.fill_(float("nan"))
    Fused([[a, b], [never, b, a]], outs)(np.array([0.3, 0.7, 0.0, 0.3, 0.7]))
    expected = a * 0.3 + b * 0.7, b * 0.3 + a * 0.7
    if not all(map(torch.equal, outs, expected)):
        raise RuntimeError("the Triton kernel gives other numbers than torch")
