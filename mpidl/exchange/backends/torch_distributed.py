"""Backends of torch.distributed: gloo, NCCL, and oneCCL in two ways."""

import importlib
import importlib.util
from functools import partial
from typing import TYPE_CHECKING

from mpidl.exchange import traffic
from mpidl.exchange.backend import BACKENDS
from mpidl.exchange.survey import SEVERAL, Facts, require, survey
from mpidl.exchange.wiring import Wiring

if TYPE_CHECKING:
    from mpidl.exchange.memory import Exchange


BINDINGS = "oneccl_bindings_for_pytorch"
"""oneCCL's old bindings, a package that adds ``ccl`` to torch.distributed when it is imported."""


def _built_in(name: str, kind: str, asked: bool) -> bool:
    """Whether this torch has a backend."""
    import torch.distributed as dist

    return dist.is_available() and dist.is_backend_available(name)


def _beside(kind: str, asked: bool) -> bool:
    """Whether oneCCL's old bindings add a backend to this torch.

    They bring an MPI library of their own with them, so that they are loaded only where a user asks
    for them, or on XPUs of a torch without xccl, where ``auto`` may take them.
    """
    if importlib.util.find_spec(BINDINGS) is None:
        return False
    if not asked and (kind != "xpu" or _built_in("xccl", kind, asked)):
        return False
    importlib.import_module(BINDINGS)
    return _built_in("ccl", kind, asked)


def _alone(facts: Facts) -> str | None:
    if not facts.crowded or facts.several:
        return None
    # NCCL ends such a start with "Duplicate GPU detected".
    return f"takes one rank per GPU, and here ranks share one (since 2.30 {SEVERAL}=1 lets it)"


@BACKENDS.add(carries="cpu", traffic=traffic.by_density, available=partial(_built_in, "gloo"))
def gloo(wiring: Wiring, /) -> "Exchange":
    """Batches of messages by torch.distributed over TCP, for vectors in host memory."""
    from mpidl.exchange.process_group import Gloo

    require("gloo", survey(wiring))
    return Gloo(wiring)


@BACKENDS.add(
    carries="cuda",
    traffic=traffic.by_density,
    available=partial(_built_in, "nccl"),
    obstacle=_alone,
)
def nccl(wiring: Wiring, /) -> "Exchange":
    """Batches of messages between CUDA GPUs by NCCL, one rank on each."""
    from mpidl.exchange.process_group import Nccl

    require("nccl", survey(wiring))
    return Nccl(wiring)


def _lost(facts: Facts) -> str | None:
    return None if facts.mended else "messages of xccl may never arrive in a torch before 2.9"


@BACKENDS.add(
    carries="xpu",
    traffic=traffic.by_density,
    available=partial(_built_in, "xccl"),
    doubt=_lost,
)
def xccl(wiring: Wiring, /) -> "Exchange":
    """Batches of messages between XPUs by oneCCL, as torch has it since 2.8."""
    from mpidl.exchange.process_group import Xccl

    require("xccl", survey(wiring))
    return Xccl(wiring)


@BACKENDS.add(
    carries=("cpu", "xpu"),
    traffic=traffic.to_every_rank,
    available=_beside,
    absent=f"needs {BINDINGS}, which not every rank has",
)
def ccl(wiring: Wiring, /) -> "Exchange":
    """All-gather between XPUs, or host memories, by oneCCL's bindings to a torch before xccl."""
    from mpidl.exchange.process_group import Ccl

    require("ccl", survey(wiring, "ccl"))
    return Ccl(wiring)
