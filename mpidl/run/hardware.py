"""The hardware of a run, on all its ranks, in words: for its file and its first lines."""

import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mpidl.exchange import kernels
from mpidl.ranks.world import Comm

if TYPE_CHECKING:
    import torch

DRIVER = Path("/proc/driver/nvidia/version")
"""Where the system tells the version of NVIDIA's driver."""

ONECCL = ("oneccl", "oneccl-bind-pt")
"""The packages that bring oneCCL to torch."""


@dataclass(frozen=True)
class Hardware:
    """What computes a run.

    Attributes:
        accelerator: Its kind and name, driver and libraries, and how many ranks share one, where
            they do; of ranks that differ all that there are.
        kernel: What mixes.
        batched: Whether devices of a rank are trained at once: ``yes``, ``no``, or on which share
            of ranks.
        sharing: The most ranks that compute on one accelerator.
    """

    accelerator: str
    kernel: str
    batched: str
    sharing: int


def of_all(comm: Comm, device: "torch.device", sharing: int, together: bool) -> Hardware:
    """Collective. What computes a run, of what each rank has.

    Args:
        comm: All ranks.
        device: What this rank computes on.
        sharing: How many ranks compute on it.
        together: Whether this rank trains its devices at once.
    """
    told = comm.allgather((describe(device), kernels.used(device), sharing, together))
    names, mixers, counts, sides = zip(*told, strict=True)
    most, some = max(counts), sum(sides)
    whole = {0: "no", comm.size: "yes"}
    return Hardware(
        accelerator=_each(names) + (f", {most} ranks on one" if most > 1 else ""),
        kernel=_each(mixers),
        batched=whole.get(some, f"on {some} of {comm.size} ranks"),
        sharing=most,
    )


def _each(told: tuple[str, ...]) -> str:
    return "; ".join(dict.fromkeys(told))


def describe(device: "torch.device") -> str:
    """An accelerator in words, such as ``cuda: NVIDIA H200, driver 580.65.06, CUDA 13.0``."""
    if device.type == "cpu":
        return "cpu"
    import torch

    properties = getattr(torch, device.type).get_device_properties(device)
    facts = _cuda() if device.type == "cuda" else _xpu(properties)
    known = [f"{what} {version}" for what, version in facts.items() if version]
    return f"{device.type}: {', '.join([properties.name, *known])}"


def _cuda() -> dict[str, str | None]:
    import torch

    nccl = torch.distributed.is_available() and torch.distributed.is_nccl_available()
    version = torch.cuda.nccl.version() if nccl else ()  # type: ignore[no-untyped-call]
    return {
        "driver": _driver(),
        "CUDA": torch.version.cuda,
        "NCCL": ".".join(map(str, version)),
    }


def _driver() -> str | None:
    try:
        found = re.search(r"\b\d{3,}\.\d[\d.]*", DRIVER.read_text(encoding="utf-8"))
    except OSError:
        return None
    return found[0] if found else None


def _xpu(properties: object) -> dict[str, str | None]:
    return {"driver": getattr(properties, "driver_version", None), "oneCCL": _oneccl()}


def _oneccl() -> str | None:
    for package in ONECCL:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
