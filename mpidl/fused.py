"""X <- W X in accelerator memory: one kernel of Triton for all rows, in one pass over memory.

Importing this needs Triton; :mod:`mpidl.kernels` does so only where vectors lie on an accelerator.
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
"""Columns of a program of the kernel: eight to each thread of its four warps."""

ALIGNMENT = 16
"""Bytes that a thread loads at once, where all vectors begin on multiples of them."""

NUMBERS = {
    torch.float16: tl.float16,
    torch.bfloat16: tl.bfloat16,
    torch.float32: tl.float32,
    torch.float64: tl.float64,
}


@triton.jit  # type: ignore[untyped-decorator]
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
    at = (tl.program_id(0) // rows).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < columns
    begin = tl.load(offsets + row)
    end = tl.load(offsets + row + 1)

    # The sum begins with a product, not with zero, which would lose the sign of a negative zero.
    weight = tl.load(weights + begin)
    member = tl.load(addresses + begin).to(tl.pointer_type(NUMBER))
    if ALIGNED:
        member = tl.multiple_of(member, 16)
    first = tl.load(member + at, mask=at < tl.where(weight != 0, columns, 0), other=0.0)
    total = first.to(SUM) * weight
    for k in range(begin + 1, end):
        weight = tl.load(weights + k)
        # What a dropped link left behind is not read: it may be anything, and not a number.
        if weight != 0:
            member = tl.load(addresses + k).to(tl.pointer_type(NUMBER))
            if ALIGNED:
                member = tl.multiple_of(member, 16)
            total += tl.load(member + at, mask=inside, other=0.0).to(SUM) * weight

    target = tl.load(targets + row).to(tl.pointer_type(NUMBER))
    if ALIGNED:
        target = tl.multiple_of(target, 16)
    tl.store(target + at, total.to(NUMBER), mask=inside)


class Fused:
    """Rows of W over fixed members, on one accelerator; see :class:`mpidl.kernels.Mixture`.

    The bits are those of torch, but for the sign of a zero: products and sums are rounded one
    after the other, in the order of the members, so the compiler may not fuse them.

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
            num_warps=4,
            enable_fp_fusion=False,
        )


def prove(device: torch.device) -> None:
    """Compile the kernel, and compare what it computes with what torch does.

    Raises:
        RuntimeError: If they differ.
    """
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(3, BLOCK + 1, generator=generator).to(device)
    weights = np.array([0.3, 0.7])
    out = torch.empty_like(vectors[0])
    Fused([[vectors[0], vectors[1]]], [out])(weights)
    want = vectors[0] * 0.3 + vectors[1] * 0.7
    if not torch.equal(out, want):
        raise RuntimeError("the kernel of Triton gives other numbers than torch")
