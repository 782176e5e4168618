"""Hardware of a run, on all its ranks, described for its results file and its first lines."""

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
"""File with the version of NVIDIA's driver."""

ONECCL = ("oneccl", "oneccl-bind-pt")
"""Packages that bring oneCCL to torch."""


@dataclass(frozen=True)
class Hardware:
    """Hardware of a run.

    Attributes:
        accelerator: Kind and name, driver and libraries, and the number of ranks that share one;
            if ranks differ, each kind once.
        kernel: The mixing kernel.
        batched: Whether devices of a rank are trained at once: ``yes``, ``no``, or on how many
            ranks.
        sharing: The most ranks that compute on one accelerator.
    """

    accelerator: str
    kernel: str
    batched: str
    sharing: int


def of_all(comm: Comm, device: "torch.device", sharing: int, together: bool) -> Hardware:
    """Collective. The hardware of a run, from that of each rank.

    Args:
        comm: All ranks.
        device: The hardware of this rank.
        sharing: Number of ranks that compute on it.
        together: Whether this rank trains its devices at once.
    """
    of_ranks = comm.allgather((describe(device), kernels.used(device), sharing, together))
    names, mixers, counts, sides = zip(*of_ranks, strict=True)
    most, batching = max(counts), sum(sides)
    answers = {0: "no", comm.size: "yes"}
    return Hardware(
        accelerator=_each(names) + (f", {most} ranks on one" if most > 1 else ""),
        kernel=_each(mixers),
        batched=answers.get(batching, f"on {batching} of {comm.size} ranks"),
        sharing=most,
    )


def _each(texts: tuple[str, ...]) -> str:
    return "; ".join(dict.fromkeys(texts))


def describe(device: "torch.device") -> str:
    """A text about an accelerator: ``cuda: NVIDIA H200, driver 580.65.06, CUDA 13.0``."""
    if device.type == "cpu":
        return "cpu"
    import torch

    properties = getattr(torch, device.type).get_device_properties(device)
    facts = _cuda() if device.type == "cuda" else _xpu(properties)
    known = [f"{part} {version}" for part, version in facts.items() if version]
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
        match = re.search(r"\b\d{3,}\.\d[\d.]*", DRIVER.read_text(encoding="utf-8"))
    except OSError:
        return None
    return match[0] if match else None


def _xpu(properties: object) -> dict[str, str | None]:
    return {"driver": getattr(properties, "driver_version", None), "oneCCL": _oneccl()}


def _oneccl() -> str | None:
    for package in ONECCL:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
