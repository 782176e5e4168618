"""Accelerators: the hardware that a rank computes on, its memory and its precision."""

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any

from mpidl.config.faults import Breakdown, Fault, first_line
from mpidl.ranks.host import name

if TYPE_CHECKING:
    import torch

    from mpidl.ranks.world import Comm


EXTENSION = "intel_extension_for_pytorch"
"""Intel's extension of torch, by which XPUs were used before torch 2.8."""


def choose(comm: "Comm", setting: str) -> "torch.device":
    """Choose the hardware this rank computes on, and make it current.

    Args:
        comm: The ranks of this node.
        setting: ``auto``, ``cpu``, ``cuda`` or ``xpu``.

    Raises:
        Fault: If this host has no hardware of that kind.
    """
    import torch

    kind = chosen(setting)
    if kind == "cpu":
        return torch.device("cpu")
    module = getattr(torch, kind)
    number = index(comm.rank, comm.size, module.device_count())
    module.set_device(number)
    return torch.device(kind, number)


def chosen(setting: str) -> str:
    """The kind of hardware that a rank of this host computes on.

    Args:
        setting: ``auto``, ``cpu``, ``cuda`` or ``xpu``.

    Raises:
        Fault: If this host has no hardware of that kind, or Intel's extension does not load.
    """
    import torch

    if _extended(setting):
        _extend(setting)
    available = {"cuda": torch.cuda.is_available(), "xpu": torch.xpu.is_available(), "cpu": True}
    kind = next(k for k, present in available.items() if present) if setting == "auto" else setting
    if not available[kind]:
        present = ", ".join(k for k, yes in available.items() if yes)
        raise Fault(
            f"training.accelerator = {setting!r}: torch finds none on {name()}; found: {present}."
        )
    return kind


def torch_version() -> tuple[int, int]:
    """The version of torch, as far as its second number."""
    import torch

    major, minor, *_ = str(torch.__version__).split(".")
    return int(major), int(minor)


def _extended(setting: str) -> bool:
    """Whether Intel's extension is to be loaded: here is an XPU, and torch is older than 2.8.

    There is one for processors too, which changes what torch computes and is never loaded: under
    ``auto`` torch must find an XPU, or the extension's version name it.
    """
    import torch

    asked = setting == "xpu" or (setting == "auto" and not torch.cuda.is_available())
    if not asked or torch_version() >= (2, 8) or importlib.util.find_spec(EXTENSION) is None:
        return False
    versions = (found.version for found in metadata.distributions(name=EXTENSION))
    return setting == "xpu" or torch.xpu.is_available() or any("xpu" in one for one in versions)


def _extend(setting: str) -> None:
    try:
        importlib.import_module(EXTENSION)
    except (Exception, SystemExit) as error:  # it ends the program if torch has another version
        raise Fault(
            f"training.accelerator = {setting!r}: {EXTENSION}, by which a torch before 2.8 uses "
            f"XPUs, does not load on {name()} ({type(error).__name__}: {first_line(error)}); "
            "'cpu' works without it."
        ) from error


def check_precision(device: "torch.device", precision: str) -> None:
    """Check that hardware computes in a precision.

    Args:
        device: The hardware of this rank.
        precision: ``float32``, ``tf32`` or ``bfloat16``.

    Raises:
        Fault: If it does not.
    """
    if precision != "tf32":
        return
    lack = "has no TF32"
    if device.type == "cuda":
        import torch

        properties = torch.cuda.get_device_properties(device)
        if properties.major >= 8:
            return
        lack = f"is {properties.name}, which has no TF32"
    raise Fault(
        f"training.precision = 'tf32': needs a CUDA GPU, the A100 or a newer one; the "
        f"{device.type} of {name()} {lack}; 'float32' and 'bfloat16' work everywhere."
    )


@contextmanager
def rounding(precision: str) -> Iterator[None]:
    """Let CUDA multiply in TF32 if a precision says so, and else in float32.

    By default torch uses TF32 in convolutions. The former state is restored afterwards.
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
"""Most hosts of a kind that a message names."""


def common_kind(comm: "Comm", kind: str | None) -> str:
    """Collective. The one kind of hardware on which all ranks compute.

    On a node that lost its accelerators, ranks would else compute on processors, and all other
    ranks would wait for them.

    Args:
        comm: All ranks.
        kind: The kind of this rank; None if another rank of the node names it.

    Raises:
        Fault: On every rank, if there are several kinds.
    """
    hosts: dict[str, dict[str, None]] = {}
    for own, host in comm.allgather((kind, name())):
        if own is not None:
            hosts.setdefault(own, {})[host] = None
    if len(hosts) > 1:
        parts = [
            f"{own} on {', '.join([*names][:SHOWN])}"
            + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
            for own, names in sorted(hosts.items(), key=lambda own: (len(own[1]), own[0]))
        ]
        raise Fault(
            f"training.accelerator = 'auto': must find one kind of hardware for all ranks, and "
            f"finds {'; '.join(parts)}; 'cpu' works everywhere."
        )
    return min(hosts)


def index(rank: int, ranks: int, count: int) -> int:
    """The index of the accelerator, of ``count`` on a node, that a node-local rank takes.

    One visible accelerator is a launcher's mask: every rank takes it. Otherwise ranks take one each
    in order; if there are more ranks than accelerators, blocks of ranks share them.
    """
    return rank if ranks <= count else rank * count // ranks


def settle(device: "torch.device") -> None:
    """Wait until an accelerator has finished its work: MPI does not wait for streams."""
    if device.type != "cpu":
        import torch

        getattr(torch, device.type).current_stream().synchronize()


def memory_growth(device: "torch.device", do: Callable[[], None]) -> int:
    """Call ``do``, and return by how many bytes an accelerator's memory in use grew at most.

    On a processor memory is not counted: 0.
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
    """Free bytes of an accelerator's memory: those that torch holds unused, or may still take."""
    import torch

    module = getattr(torch, device.type)
    unused = module.memory_reserved(device) - module.memory_allocated(device)
    return int(module.mem_get_info(device)[0] + unused)


EXHAUSTED = ("out of memory", "OUT_OF_DEVICE_MEMORY", "OUT_OF_RESOURCES")
"""Parts of the errors of CUDA, NCCL and Level Zero if an accelerator has no memory left."""


@contextmanager
def explained() -> Iterator[None]:
    """Explain in one sentence that an accelerator has no memory left.

    Raises:
        Breakdown: In place of torch's error.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not any(words in text for words in EXHAUSTED):
            raise
        first = ". ".join(text.splitlines()[0].split(". ")[:2]).rstrip(".")
        raise Breakdown(
            f"an accelerator of {name()} has no memory left ({first}): use fewer devices on a "
            "rank, fewer ranks on an accelerator, smaller batches, or training.batched = 'no'."
        ) from error


def memory(device: "torch.device") -> int:
    """Bytes of memory of an accelerator; for ``cpu`` those of this host."""
    if device.type == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    import torch

    return int(getattr(torch, device.type).get_device_properties(device).total_memory)
