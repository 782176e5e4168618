"""Checks of what strategies give: mixing weights, rows of the mixing matrix, or mixtures."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mpidl.components.graphs import Neighborhood
from mpidl.components.strategies.weights import Array
from mpidl.config.faults import Fault, shown

if TYPE_CHECKING:
    from mpidl.components.strategies.inbox import Inbox

TOLERANCE = 1e-6
"""How far from 1 a sum of weights may be; in float32 they are as near as that."""


class Watched(Neighborhood):
    """A neighborhood that notes whether anybody asks for its round.

    A strategy that does not ask, and gives the same for the same, has the same row in every round.
    """

    asked = False

    def __getattribute__(self, name: str) -> Any:
        """Note what is asked for, also by those who take all attributes at once."""
        if name in ("round", "__dict__"):
            object.__setattr__(self, "asked", True)
        return super().__getattribute__(name)


def weights(name: str, view: Neighborhood, made: Any) -> Array:
    """The weights ``(K,)`` that a strategy made.

    Raises:
        Fault: If they are not one finite number for each member, or their sum is not 1.
    """
    count, where = len(view.members), _where(name, view)
    try:
        row = np.asarray(made.detach().cpu() if _tensor(made) else made, np.float64)
    except (TypeError, ValueError):
        raise Fault(f"{where} gives {shown(made)}: must be {count} weights.") from None
    if row.shape != (count,):
        mixture = "; one that gives the mixture itself has '-> \"Tensor\"'" * _tensor(made)
        raise Fault(
            f"{where} gives weights of the shape {row.shape}: must be ({count},), one for each of "
            f"view.members{mixture}."
        )
    if not np.isfinite(row).all():
        raise Fault(f"{where} gives the weights {_told(row)}: must be finite numbers.")
    if abs((total := row.sum()) - 1) > TOLERANCE:
        raise Fault(f"{where} gives the weights {_told(row)}: their sum is {total:.9g}, must be 1.")
    return row


def mixture(name: str, view: Neighborhood, inbox: "Inbox", made: Any) -> Any:
    """The mixture ``(P,)`` that a strategy made; what is in it follows from the vectors.

    Raises:
        Fault: If it is no vector like those in the inbox.
    """
    own = inbox.vectors[0]
    if not _tensor(made):
        raise Fault(f"{_where(name, view)} gives {shown(made)}: must be a tensor, the mixture.")
    if made.shape != own.shape or made.dtype != own.dtype:
        raise Fault(
            f"{_where(name, view)} gives a mixture {tuple(made.shape)} of {made.dtype}: must be "
            f"{tuple(own.shape)} of {own.dtype}, as the vectors in its inbox."
        )
    return made


def _tensor(made: Any) -> bool:
    """Whether this is a tensor of torch, which is not imported to find out."""
    return hasattr(made, "detach") and hasattr(made, "cpu")


def _where(name: str, view: Neighborhood) -> str:
    return f"strategy.name = {name!r}: in round {view.round + 1} for device {view.device} it"


def _told(row: Array) -> str:
    return shown([float(f"{weight:.6g}") for weight in row])
