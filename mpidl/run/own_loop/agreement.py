"""Ranks of an own loop: the models of each, and what is the same of all of them."""

from collections.abc import Sequence

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
