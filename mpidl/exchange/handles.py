"""Handles of CUDA IPC, by which another process maps memory of a GPU."""

from typing import Any

import torch
from torch import Tensor

Handle = tuple[Any, ...]
"""Data that another process needs to map memory of this one."""


def export(memory: Tensor) -> Handle:
    """A handle of memory for one reader, as torch counts the readers.

    Raises:
        RuntimeError: If the system, or the allocation of the memory, does not allow it.
    """
    # The number of the GPU is left out, as it differs in each process; so is the event, as a rank
    # shares only memory whose writing it has waited for.
    _, *handle, _ = memory.untyped_storage()._share_cuda_()  # type: ignore[no-untyped-call]
    return tuple(handle)


def opened(handle: Handle, device: torch.device) -> torch.UntypedStorage:
    """The memory of another process.

    It is mapped for the own GPU, which reads it over the link to the other one; torch and Triton
    treat it as memory of the own GPU.

    Args:
        handle: The handle that its owner exported for this process.
        device: The own GPU.

    Raises:
        RuntimeError: If the system does not allow it.
    """
    return torch.UntypedStorage._new_shared_cuda(device.index, *handle, False)


def release(memory: Tensor) -> None:
    """Free memory that was exported, even if views of it exist; no process may map it any more.

    Until then torch keeps a file in ``/dev/shm`` that counts its readers, and a forked rank ends
    without the destructors that would remove the file.
    """
    if memory.device.type == "cuda":
        memory.untyped_storage().resize_(0)
        torch.cuda.ipc_collect()  # type: ignore[no-untyped-call]
