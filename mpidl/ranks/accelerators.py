"""The hardware a rank computes on: chosen by its place on the node, and how much it holds."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mpidl.config.faults import Breakdown, Fault
from mpidl.ranks.host import name

if TYPE_CHECKING:
    import torch

    from mpidl.ranks.world import Comm


def choose(comm: "Comm", wanted: str) -> "torch.device":
    """Choose the hardware this rank computes on, and make it current.

    Args:
        comm: The ranks of this node.
        wanted: ``auto``, ``cpu``, ``cuda`` or ``xpu``.

    Raises:
        Fault: If the wanted kind is not there.
    """
    import torch

    kind = chosen(wanted)
    if kind == "cpu":
        return torch.device("cpu")
    module = getattr(torch, kind)
    number = index(comm.rank, comm.size, module.device_count())
    module.set_device(number)
    return torch.device(kind, number)


def chosen(wanted: str) -> str:
    """Which kind of hardware a rank of this host computes on.

    Args:
        wanted: ``auto``, ``cpu``, ``cuda`` or ``xpu``.

    Raises:
        Fault: If the wanted kind is not there.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "xpu": torch.xpu.is_available(), "cpu": True}
    kind = next(k for k, found in there.items() if found) if wanted == "auto" else wanted
    if not there[kind]:
        found = ", ".join(k for k, yes in there.items() if yes)
        raise Fault(
            f"training.accelerator = {wanted!r}: torch finds none on {name()}; found: {found}."
        )
    return kind


def computes(device: "torch.device", precision: str) -> None:
    """See that hardware computes in a precision.

    Args:
        device: The hardware of this rank.
        precision: ``float32``, ``tf32`` or ``bfloat16``.

    Raises:
        Fault: If it does not.
    """
    if precision != "tf32":
        return
    has = "has none"
    if device.type == "cuda":
        import torch

        properties = torch.cuda.get_device_properties(device)
        if properties.major >= 8:
            return
        has = f"is {properties.name}, which has none"
    raise Fault(
        f"training.precision = 'tf32': is of CUDA GPUs since the A100, and the {device.type} of "
        f"{name()} {has}; 'float32' and 'bfloat16' are everywhere."
    )


@contextmanager
def rounding(precision: str) -> Iterator[None]:
    """Let CUDA's products be of numbers of TF32 where a precision says so, and else of float32.

    Of itself torch takes TF32 in convolutions. Afterwards it is as it was.
    """
    import torch

    kinds: tuple[Any, ...] = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [kind.allow_tf32 for kind in kinds]
    for kind in kinds:
        kind.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        for kind, allowed in zip(kinds, before, strict=True):
            kind.allow_tf32 = allowed


SHOWN = 8
"""Hosts of a kind that a sentence names."""


def alike(comm: "Comm", kind: str | None) -> str:
    """Collective. See that all ranks compute on one kind of hardware; which one.

    On a node whose accelerators are gone ranks would else compute on processors, and all others
    wait for them.

    Args:
        comm: All ranks.
        kind: That of this rank; None where another rank speaks for it.

    Raises:
        Fault: On every rank, if there are several kinds.
    """
    hosts: dict[str, dict[str, None]] = {}
    for found, host in comm.allgather((kind, name())):
        if found is not None:
            hosts.setdefault(found, {})[host] = None
    if len(hosts) > 1:
        told = [
            f"{found} on {', '.join([*names][:SHOWN])}"
            + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
            for found, names in sorted(hosts.items(), key=lambda found: (len(found[1]), found[0]))
        ]
        raise Fault(
            f"training.accelerator = 'auto': must find one kind of hardware for all ranks, and "
            f"finds {'; '.join(told)}; 'cpu' is everywhere."
        )
    return min(hosts)


def index(rank: int, ranks: int, count: int) -> int:
    """Which of a node's ``count`` accelerators a node-local rank takes.

    One visible accelerator is a launcher's mask: everyone takes it. Otherwise ranks take one each
    in order, or, where they outnumber accelerators, share them in blocks.
    """
    return rank if ranks <= count else rank * count // ranks


def settle(device: "torch.device") -> None:
    """Wait until an accelerator has done what was asked of it: MPI knows nothing of streams."""
    if device.type != "cpu":
        import torch

        getattr(torch, device.type).current_stream().synchronize()


def grown(device: "torch.device", do: Callable[[], None]) -> int:
    """Do something; the bytes by which an accelerator's memory in use grew meanwhile, at most.

    Those of a processor are not counted: 0.
    """
    if device.type == "cpu":
        do()
        return 0
    import torch

    module = getattr(torch, device.type)
    module.reset_peak_memory_stats(device)
    before = int(module.memory_allocated(device))
    do()
    return int(module.max_memory_allocated(device)) - before


def free(device: "torch.device") -> int:
    """Bytes of an accelerator's memory that torch holds unused, or may still take."""
    import torch

    module = getattr(torch, device.type)
    unused = module.memory_reserved(device) - module.memory_allocated(device)
    return int(module.mem_get_info(device)[0] + unused)


EXHAUSTED = ("out of memory", "OUT_OF_DEVICE_MEMORY", "OUT_OF_RESOURCES")
"""What CUDA, NCCL and Level Zero say where an accelerator has no memory left."""


@contextmanager
def told() -> Iterator[None]:
    """Let an accelerator that has no memory left be told in a sentence.

    Raises:
        Breakdown: In the place of torch's error.
    """
    try:
        yield
    except RuntimeError as error:
        said = str(error)
        if not any(words in said for words in EXHAUSTED):
            raise
        first = ". ".join(said.splitlines()[0].split(". ")[:2]).rstrip(".")
        raise Breakdown(
            f"an accelerator of {name()} has no memory left ({first}): fewer devices on a rank, "
            "fewer ranks on an accelerator, smaller batches or training.batched = 'no' take less."
        ) from error


def memory(device: "torch.device") -> int:
    """Bytes of memory that an accelerator has; those of this host for ``cpu``."""
    if device.type == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    import torch

    return int(getattr(torch, device.type).get_device_properties(device).total_memory)
