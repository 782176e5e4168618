"""The weighted sum over a neighborhood: native when built, torch otherwise."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

try:
    from mpidl import _native  # type: ignore[attr-defined]
except ImportError:
    _native = None

if TYPE_CHECKING:
    from torch import Tensor

NAME = "torch" if _native is None else "native"
"""Which kernel mixes on the CPU."""


def mix(weights: npt.NDArray[np.float64], members: Sequence["Tensor"], out: "Tensor") -> None:
    """Write ``sum_k weights[k] * members[k]`` into ``out``.

    Members of weight zero are not read, so what a dropped link left behind cannot reach the sum.
    Native and torch give the same bits: products and sums are rounded one after the other, in the
    order of the members.

    Args:
        weights: One row over the members, ``(K,)``.
        members: ``K`` vectors ``(P,)``, contiguous, of one floating type, on one accelerator.
        out: ``(P,)``, none of the members.
    """
    used = [
        (float(weight), member) for weight, member in zip(weights, members, strict=True) if weight
    ]
    native = getattr(_native, f"mix_{str(out.dtype).removeprefix('torch.')}", None)
    if native is not None and out.device.type == "cpu" and used:
        native([w for w, _ in used], [m.data_ptr() for _, m in used], out.data_ptr(), out.numel())
        return
    if not used:
        out.zero_()
    for position, (weight, member) in enumerate(used):
        product = member * weight
        # Not added to zero, which would lose the sign of a negative zero.
        out.copy_(product) if position == 0 else out.add_(product)
