"""Registry of backends, with their properties."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from mpidl.config.registry import Properties, Registry
from mpidl.exchange.traffic import Bytes, Load, along_links
from mpidl.exchange.wiring import Wiring


def _listed(kinds: object) -> object:
    return (kinds,) if isinstance(kinds, str) and kinds else kinds or ()


class BackendProperties(Properties):
    """Properties that a backend declares.

    Attributes:
        carries: The kind of memory whose vectors it carries, or several; empty for any.
        traffic: Bytes that each rank sends and receives in a round, ``(ranks,)`` each.
        obstacle: The reason why it does not work here, from :class:`mpidl.exchange.survey.Facts`,
            as the rest of a sentence; None if it works.
        doubt: The reason why ``auto`` does not choose it although it works, from the same facts.
        available: Whether this process has it, given the kind of memory and whether a user asks for
            it, for what is costly to load; raises an error if it is installed and does not load.
            None for backends without torch.distributed.
        absent: What to say where some rank does not have it, as the rest of a sentence.
        trial: Collective. Tries it if there is no other obstacle, and adds a failure to the facts.
        met: Whether only all ranks together can find out whether it works.
        means: Whether it gives every device the mean of all, and nothing else.
        delays: Whether vectors may travel while devices train.
        shares: Whether ranks of a node read vectors in place, in shared host memory.
    """

    carries: Annotated[tuple[Literal["cpu", "cuda", "xpu"], ...], BeforeValidator(_listed)] = ()
    traffic: Callable[[Load], Bytes] = along_links
    obstacle: Callable[[Any], str | None] = lambda facts: None
    doubt: Callable[[Any], str | None] = lambda facts: None
    available: Callable[[str, bool], bool] | None = None
    absent: str = "is not in the torch of every rank"
    trial: Callable[[Any, Any], Any] | None = None
    met: bool = False
    means: bool = False
    delays: bool = False
    shares: bool = False


def _checked(name: str, exchange: Any, wiring: Wiring) -> Any:
    """What a backend gave; see :func:`mpidl.exchange.border.checked`."""
    from mpidl.exchange.border import checked

    return checked(name, exchange, wiring)


BACKENDS = Registry("exchange backend", BackendProperties, gives=1, check=_checked)
"""``builder(wiring, /) -> Exchange``, in a file of its own in ``backends/``.

Builders import torch when called, because a run file is checked before torch is loaded.
"""
