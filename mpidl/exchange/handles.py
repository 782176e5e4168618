"""CUDA IPC: memory of a GPU, given to another process by a handle and mapped there."""

from typing import Any

import torch
from torch import Tensor

Handle = tuple[Any, ...]
"""What another process needs to map memory of this one."""


def export(memory: Tensor) -> Handle:
    """A handle of memory for one reader, as torch counts who has one.

    Raises:
        RuntimeError: If the system, or how the memory was allocated, does not allow it.
    """
    # The number of a GPU is another in each process, and nobody waits for the event: a rank shares
    # only what it has waited for itself.
    _, *handle, _ = memory.untyped_storage()._share_cuda_()  # type: ignore[no-untyped-call]
    return tuple(handle)


def opened(handle: Handle, device: torch.device) -> torch.UntypedStorage:
    """The memory of another process.

    It is mapped for the own GPU, which then reads it over the link to the other one, and so counts
    as memory of the own GPU in all that torch and Triton do.

    Args:
        handle: What its owner exported for this process.
        device: The own GPU.

    Raises:
        RuntimeError: If the system does not allow it.
    """
    return torch.UntypedStorage._new_shared_cuda(device.index, *handle, False)


def release(memory: Tensor) -> None:
    """Free memory that was exported, whatever still views it; nobody may map it any more.

    Until then torch keeps a file in ``/dev/shm`` that counts its readers, and a rank that was
    forked ends without the destructors that would remove it.
    """
    if memory.device.type == "cuda":
        memory.untyped_storage().resize_(0)
        torch.cuda.ipc_collect()  # type: ignore[no-untyped-call]
