"""Ranks of an own loop: the models of each, and what must be the same on all of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from mpidl.config.faults import Fault
from mpidl.ranks import world
from mpidl.ranks.world import Comm
from mpidl.run.own_loop.given_models import by_device, own_model
from mpidl.run.own_loop.models import OwnModel


def models(comm: Comm, model: object, only: str | Sequence[str] | None) -> dict[int, OwnModel]:
    """Collective. The models of this rank by device."""
    wanted = [only] if isinstance(only, str) else only
    with world.agreed(comm):
        found = by_device(model, comm.rank)
        own = {number: own_model(one, wanted) for number, one in found.items()}
        first, *others = own.values()
        for other in others:
            if described(other) != described(first):
                raise Fault("model: the models of a rank must have the same tensors and types.")
    return own


def described(model: OwnModel) -> dict[str, str]:
    """What must be the same of all models."""
    flat = model.flat
    shapes = [tuple(part.shape) for part in flat.parameters(torch.empty(flat.size, device="meta"))]
    return {
        "number of values that travel": f"{flat.size:,}",
        "type of values": str(flat.dtype),
        "names and shapes that travel": repr([*zip(flat.names, shapes, strict=False)]),
    }


def hosts(comm: Comm, own: Sequence[int]) -> npt.NDArray[np.int64]:
    """Collective. Device to rank, ``(N,)``.

    Raises:
        Fault: If devices are not 0..N-1, each on one rank.
    """
    found = comm.allgather(list(own))
    found_on: dict[int, int] = {}
    for rank, devices in enumerate(found):
        for device in devices:
            if device in found_on:
                raise Fault(
                    f"model: device {device} is on rank {found_on[device]} and on rank {rank}: "
                    "must be on one."
                )
            found_on[device] = rank
    if missing := sorted({*range(len(found_on))} - {*found_on}):
        raise Fault(
            f"model: has {len(found_on)} devices on all ranks, and none of them is {missing[0]}: "
            f"must be 0 to {len(found_on) - 1}."
        )
    return np.array([found_on[device] for device in range(len(found_on))])


def check_same(comm: Comm, texts: Mapping[str, str]) -> None:
    """Collective. Check that every rank has the same texts.

    Raises:
        Fault: With the first that differs, as rank 0 and another have it; the same on every rank.
    """
    first: dict[str, str] = comm.bcast(dict(texts))
    own = next((key for key, text in texts.items() if first.get(key) != text), None)
    other = None if own is None else (own, texts[own])
    for rank, found in enumerate(comm.allgather(other)):
        if found is not None:
            key, text = found
            raise Fault(
                f"{key}: must be the same on every rank; it is {_cut(first[key])} on rank 0 and "
                f"{_cut(text)} on rank {rank}."
            )


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:196]} ..."
