"""Border of exchanges: what a backend gives is looked at once, at its first use."""

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from mpidl.config.faults import Fault, shown
from mpidl.exchange.memory import Exchange
from mpidl.exchange.wiring import Wiring

NEEDED = sorted(name for name in {*Exchange.__annotations__, *vars(Exchange)} if name[0] != "_")
"""What every exchange has."""


def checked(name: str, exchange: Any, wiring: Wiring) -> Exchange:
    """An exchange whose methods are looked at when they are called for the first time.

    Afterwards they are called as if there were no border.

    Args:
        name: The name of the backend.
        exchange: What it gave.
        wiring: What it was built from.

    Raises:
        Fault: If it is no exchange, or its vectors are none; later its methods raise one where what
            they give is wrong. The ranks may differ.
    """
    lacks = [need for need in NEEDED if not hasattr(exchange, need)]
    if lacks:
        raise Fault(
            f"exchange.backend = {name!r}: gives {shown(exchange)}, which has no {lacks[0]!r}: "
            "must be an Exchange."
        )
    border = Border(name, exchange, wiring)
    border.vectors()
    found: Exchange = exchange
    return found


class First:
    """First call of a method, which takes its own place and gives it back.

    Args:
        exchange: The exchange.
        name: The name of the method.
        look: Looks at what the method returned, and at what it was given.
    """

    def __init__(self, exchange: Any, name: str, look: Callable[..., None]) -> None:
        self._exchange, self._name, self._look = exchange, name, look
        self._looked = False
        self._method = getattr(exchange, name)
        self._own = name in vars(exchange)
        setattr(exchange, name, self)

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Call the method, and look, once."""
        self._give_back()
        found = self._method(*given, **named)
        if not self._looked:
            self._looked = True
            self._look(found, *given, **named)
        return found

    def _give_back(self) -> None:
        """Put the method where it was; who has wrapped this call meanwhile stays there."""
        known = vars(self._exchange)
        if known.get(self._name) is not self:
            return
        if self._own:
            known[self._name] = self._method
        else:
            del known[self._name]


class Border:
    """Border at which the values of one exchange are checked.

    Args:
        name: The name of the backend.
        exchange: The exchange.
        wiring: What it was built from.
    """

    def __init__(self, name: str, exchange: Any, wiring: Wiring) -> None:
        self._name, self._exchange, self._wiring = name, exchange, wiring
        self._own = [i for i, rank in enumerate(wiring.hosts) if rank == wiring.comm.rank]
        self._links = wiring.graph
        looks: dict[str, Callable[..., None]] = {
            "arrive": self._arrived,
            "inboxes": self._inboxes,
            "mix": self._moved,
            "replace": self._moved,
            "distances": self._distances,
            "memory": self._memory,
            "close": self._closed,
        }
        # An exchange without a dictionary of its own stays as it is; so does what auto has chosen,
        # which is looked at under its own name.
        known = getattr(exchange, "__dict__", None)
        if known is not None and not any(isinstance(value, First) for value in known.values()):
            for method, look in looks.items():
                First(exchange, method, look)

    def vectors(self) -> None:
        """Check the own vectors.

        Raises:
            Fault: If there is not one ``(P,)`` for each own device, in their order.
        """
        found = self._by_device("vectors", self._exchange.vectors)
        for device, vector in found.items():
            self._vector(f"vectors of device {device}", vector)
            if not vector.is_contiguous():
                self._refuse(
                    f"vectors of device {device}", "one with gaps", "a vector in one piece"
                )

    def _arrived(self, _: object, weights: object, links: Any = None) -> None:
        self._links = self._wiring.graph if links is None else links
        for name in ("bytes_sent", "bytes_received"):
            for device, count in self._by_device(name, getattr(self._exchange, name)).items():
                if not isinstance(count, Integral) or count < 0:
                    self._refuse(f"{name} of device {device}", shown(count), "a number of bytes")

    def _inboxes(self, found: Any) -> None:
        for device, inbox in self._by_device("inboxes", found).items():
            where = f"inboxes of device {device}"
            needed = {device, *self._links.predecessors(device)}
            if not isinstance(inbox, Mapping) or not needed <= inbox.keys():
                known = [*inbox] if isinstance(inbox, Mapping) else inbox
                self._refuse(where, shown(known), f"vectors of the devices {sorted(needed)}")
            for member in needed:
                self._vector(f"{where}, vector of {member},", inbox[member])

    def _moved(self, *_: object, **__: object) -> None:
        self.vectors()

    def _closed(self, *_: object) -> None:
        # What was never called would keep the exchange, and its memory.
        known = vars(self._exchange)
        for name in [name for name, value in known.items() if isinstance(value, First)]:
            del known[name]

    def _distances(self, found: Any) -> None:
        many = len(self._own)
        right = isinstance(found, list) and len(found) == many
        if not right or not all(isinstance(one, Real) for one in found):
            self._refuse("distances", shown(found), f"a list of {many} numbers, one a device")

    def _memory(self, found: Any) -> None:
        if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
            self._refuse("memory", shown(found), "a dictionary of names")
        for name, vectors in found.items():
            for device, vector in self._by_device(f"memory {name!r}", vectors).items():
                self._vector(f"memory {name!r} of device {device}", vector)

    def _by_device(self, what: str, found: Any) -> Mapping[int, Any]:
        if not isinstance(found, Mapping) or list(found) != self._own:
            known = list(found) if isinstance(found, Mapping) else found
            self._refuse(what, shown(known), f"a dictionary of this rank's devices {self._own}")
        by_device: Mapping[int, Any] = found
        return by_device

    def _vector(self, what: str, vector: Any) -> None:
        wiring = self._wiring
        if isinstance(vector, Tensor):
            given = _described(vector.shape, vector.dtype, vector.device)
        else:
            form = getattr(vector, "shape", None)
            given = shown(vector) if form is None else f"{form} of {type(vector).__name__}"
        needed = _described((wiring.size,), wiring.dtype, wiring.device)
        if given != needed:
            self._refuse(what, given, needed)

    def _refuse(self, what: str, given: str, needed: str) -> None:
        rank = self._wiring.comm.rank
        raise Fault(
            f"exchange.backend = {self._name!r}: on rank {rank} its {what} is {given}: must be "
            f"{needed}."
        )


def _described(shape: Any, dtype: torch.dtype, device: torch.device) -> str:
    return f"{tuple(shape)} of {dtype} in {device.type} memory"
