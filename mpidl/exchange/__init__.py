"""Exchange of vectors between devices: backends that move them, and kernels that mix them."""

from mpidl.exchange.backend import BACKENDS
from mpidl.exchange.backends import allreduce, auto, ipc, mpi, shared, torch_distributed
from mpidl.exchange.wiring import Wiring

__all__ = ["BACKENDS", "Wiring"]
_FILES = (allreduce, auto, ipc, mpi, shared, torch_distributed)
