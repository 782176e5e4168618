"""Attacks by name: what a malicious device sends in place of its model.

The attacker's own model stays as it is: it trains and mixes as others do. An honest model that is
trained on poisoned data is not an attack here but out-of-distribution data: name the attackers as
``ood.sources`` of a trigger, and the backdoor spreads as knowledge does.
"""

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from mpidl.config.faults import Fault, shown
from mpidl.config.registry import Properties, Registry

if TYPE_CHECKING:
    from torch import Tensor


def _checked(name: str, sent: Any, vector: "Tensor", *_: object) -> "Tensor":
    """What an attack returned.

    Raises:
        Fault: If it is no vector that can be sent in place of the given one.
    """
    subject = f"attack.name = {name!r}: gives"
    needed = f"must be a tensor {tuple(vector.shape)} of {vector.dtype}, as it is given"
    if not hasattr(sent, "dtype") or not hasattr(sent, "device"):
        raise Fault(f"{subject} {shown(sent)}: {needed}.")
    if sent.shape != vector.shape or sent.dtype != vector.dtype:
        raise Fault(f"{subject} a tensor {tuple(sent.shape)} of {sent.dtype}: {needed}.")
    found: Tensor = sent
    return found


ATTACKS = Registry("attack", Properties, gives=2, check=_checked)
"""``builder(vector, rng, /, ...)``: the vector that is sent in place of a trained one, ``(P,)``.

The generator depends on the device and the round.
"""

Strength = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@ATTACKS.add
def none(vector: "Tensor", rng: np.random.Generator, /) -> "Tensor":
    """No attack: every device sends its own model."""
    return vector


@ATTACKS.add
def sign_flip(vector: "Tensor", rng: np.random.Generator, /, strength: Strength = 1.0) -> "Tensor":
    """The model times minus ``strength``. Source: Li et al., 2019, arXiv 1811.03761."""
    return vector * -strength


@ATTACKS.add
def noise(vector: "Tensor", rng: np.random.Generator, /, strength: Strength = 1.0) -> "Tensor":
    """The model with normal noise on each number, whose standard deviation is ``strength``.

    Source: the Gaussian attack of Blanchard et al., 2017, arXiv 1703.02757, around the model.
    """
    import torch

    drawn = torch.from_numpy(rng.standard_normal(len(vector), np.float32))
    return vector + strength * drawn.to(vector)


@ATTACKS.add
def same_value(
    vector: "Tensor",
    rng: np.random.Generator,
    /,
    value: Annotated[float, Field(allow_inf_nan=False)] = 100.0,
) -> "Tensor":
    """The same ``value`` for every number. Source: Li et al., 2019, arXiv 1811.03761."""
    import torch

    return torch.full_like(vector, value)
