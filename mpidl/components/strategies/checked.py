"""Mixing weights and mixtures that strategies return, checked."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mpidl.components.graphs import Neighborhood
from mpidl.components.strategies.weights import Array
from mpidl.config.faults import Fault, shown

if TYPE_CHECKING:
    from mpidl.components.strategies.inbox import Inbox

TOLERANCE = 1e-6
"""Most by which a sum of weights may differ from 1; sums in float32 are within it."""


class Watched(Neighborhood):
    """A neighborhood that notes whether a strategy reads its round.

    A deterministic strategy that does not read it has the same mixing weights in every round.
    """

    read = False

    def __getattribute__(self, name: str) -> Any:
        """Return an attribute, and note a read of the round or of all attributes at once."""
        if name in ("round", "__dict__"):
            object.__setattr__(self, "read", True)
        return super().__getattribute__(name)


def weights(name: str, view: Neighborhood, result: Any) -> Array:
    """The mixing weights ``(K,)`` that a strategy returned, checked.

    Raises:
        Fault: If they are not one finite number for each member, or their sum is not 1.
    """
    count = len(view.members)
    try:
        weights = np.asarray(result.detach().cpu() if _tensor(result) else result, np.float64)
    except (TypeError, ValueError):
        weights = np.array(np.nan)
    if not weights.ndim:
        raise _fault(name, view, f"gives {shown(result)}: must be {count} weights.")
    if weights.shape != (count,):
        mixture = "; one that gives the mixture itself has '-> \"Tensor\"'" * _tensor(result)
        raise _fault(
            name,
            view,
            f"gives weights of the shape {weights.shape}: must be ({count},), one for "
            f"each of view.members{mixture}.",
        )
    if not np.isfinite(weights).all():
        raise _fault(
            name, view, f"gives the weights {_shortened(weights)}: must be finite numbers."
        )
    if abs((total := weights.sum()) - 1) > TOLERANCE:
        told = f"gives the weights {_shortened(weights)}: their sum is {total:.9g}, must be 1."
        raise _fault(name, view, told)
    return weights


def mixture(name: str, view: Neighborhood, inbox: "Inbox", result: Any) -> Any:
    """The mixture ``(P,)`` that a strategy returned, checked but for its values.

    Raises:
        Fault: If its shape or type differs from the vectors in the inbox.
    """
    own = inbox.vectors[0]
    if not _tensor(result):
        raise _fault(name, view, f"gives {shown(result)}: must be a tensor, the mixture.")
    if result.shape != own.shape or result.dtype != own.dtype:
        raise _fault(
            name,
            view,
            f"gives a mixture {tuple(result.shape)} of {result.dtype}: "
            f"must be {tuple(own.shape)} of {own.dtype}, as the vectors in its inbox.",
        )
    return result


def _tensor(value: Any) -> bool:
    """Whether a value is a tensor of torch; torch is not imported for this."""
    return hasattr(value, "detach") and hasattr(value, "cpu")


def _fault(name: str, view: Neighborhood, told: str) -> Fault:
    where = f"strategy.name = {name!r}: in round {view.round + 1} for device {view.device}"
    return Fault(f"{where} it {told}", device=view.device)


def _shortened(weights: Array) -> str:
    return shown([float(f"{weight:.6g}") for weight in weights])
