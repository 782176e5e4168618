"""Let torch answer as if the fake device were a GPU: ``torch.cuda``, CUDA IPC and NCCL.

Only torch is changed, and what the program is told of MPI; what runs on it is the program as it is.
Importing this imports torch with
the fake device, so it comes before anything else that does.

Raises:
    RuntimeError: If the device cannot be built here, or torch is imported already.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from mpidl.ranks import host, mpi_library
from tests.fake_cuda import build

device = build.load()

import torch  # noqa: E402
import torch.cuda.amp.common  # noqa: E402
import torch.distributed as dist  # noqa: E402

MOST = 16
"""GPUs that a rank may see."""

called: Counter[str] = Counter()
"""How often this process waited for its GPU, by the function that did."""


@dataclass(frozen=True)
class Machine:
    """The GPUs that this rank sees, and how well they do.

    Attributes:
        count: How many it sees.
        own: Whether it sees one that no other rank has, as where a launcher masks the others.
        lost: Whether it finds none.
        memory: Bytes of a GPU, for this rank alone.
        shares: Whether it can hand out its memory by CUDA IPC.
        maps: Whether it can map other ranks' memory.
    """

    count: int
    own: bool
    lost: bool
    memory: int
    shares: bool
    maps: bool

    @classmethod
    def told(cls) -> "Machine":
        """As the environment says."""
        rank, asked = str(host.first_number(host.RANKED) or 0), os.environ.get
        count = asked("FAKE_CUDA", "1")
        return cls(
            count=1 if count == "own" else int(count),
            own=count == "own",
            lost=rank in asked("FAKE_CUDA_LOST", "").split(","),
            memory=int(float(asked("FAKE_CUDA_MEMORY", "16e9"))),
            shares=rank not in asked("FAKE_CUDA_UNSHARED", "").split(","),
            maps=rank not in asked("FAKE_CUDA_UNMAPPED", "").split(","),
        )

    def uuid(self, index: int) -> str:
        """What tells GPUs apart."""
        return f"GPU-{host.first_number(host.RANKED) or 0 if self.own else index}"


class Stream:
    """All that is asked is done at once, so there is nothing to order."""

    def __init__(self, device: Any = None, priority: int = 0, **_: Any) -> None:
        self.cuda_stream = 0

    @property
    def device(self) -> torch.device:
        """The current one."""
        return torch.device("cuda", torch.cuda.current_device())

    def wait_stream(self, other: "Stream") -> None:
        """Nothing to wait for."""

    def wait_event(self, event: "Event") -> None:
        """Nothing to wait for."""

    def record_event(self, event: "Event | None" = None) -> "Event":
        """An event that has happened."""
        return event or Event()

    def query(self) -> bool:
        """It is done."""
        return True

    def synchronize(self) -> None:
        """Only counted."""
        called["Stream.synchronize"] += 1


class Event:
    """It has happened."""

    def __init__(self, enable_timing: bool = False, **_: Any) -> None:
        pass

    def record(self, stream: Stream | None = None) -> None:
        """Nothing to note."""

    def wait(self, stream: Stream | None = None) -> None:
        """Nothing to wait for."""

    def query(self) -> bool:
        """It has happened."""
        return True

    def synchronize(self) -> None:
        """Only counted."""
        called["Event.synchronize"] += 1

    def elapsed_time(self, other: "Event") -> float:
        """Milliseconds: the fake knows nothing of time."""
        return 0.0


@contextmanager
def stream(_: Stream) -> Iterator[None]:
    """Ask on another stream: all are the same."""
    yield


machine = Machine.told()
"""What this rank sees now; another one may take its place between two runs."""


def install() -> None:
    """Let torch have the fake device, once in a process."""
    device.start(machine.memory)
    if not machine.lost:
        _answer()
        _share()
        _resize()
        _group()
        # To MPI this memory is what it is, host memory, which any MPI takes.
        mpi_library.supports = lambda _: True


def _answer() -> None:
    """What torch.cuda says, and waits for."""
    cuda, usual = torch.cuda, Stream()

    def synchronize(_: Any = None) -> None:
        called["synchronize"] += 1

    def properties(index: Any = None) -> SimpleNamespace:
        index = torch.device(index).index if isinstance(index, str) else index
        number = getattr(index, "index", index)
        number = device.current() if number is None else number
        if not 0 <= number < machine.count:
            raise AssertionError("Invalid device id")
        return SimpleNamespace(
            name="fake GPU",
            uuid=machine.uuid(number),
            total_memory=machine.memory,
            multi_processor_count=1,
            major=9,
            minor=0,
        )

    def free(_: Any = None) -> tuple[int, int]:
        size, used, _, _ = device.memory()
        return size - used, size

    def set_device(to: Any) -> None:
        index = to if isinstance(to, int) else torch.device(to).index
        if index is not None and index >= machine.count:
            raise RuntimeError("CUDA error: invalid device ordinal")
        if index is not None and index >= 0:
            device.set_current(index)

    answers = {
        "_lazy_init": lambda: None,
        "_lazy_call": lambda call, **_: call(),
        "is_initialized": lambda: True,
        "is_available": lambda: True,
        "device_count": lambda: machine.count,
        "current_device": device.current,
        "set_device": set_device,
        "synchronize": synchronize,
        "current_stream": lambda _=None: usual,
        "default_stream": lambda _=None: usual,
        "stream": stream,
        "Stream": Stream,
        "Event": Event,
        "default_generators": (torch.default_generator,) * MOST,
        "manual_seed": torch.default_generator.manual_seed,
        "manual_seed_all": torch.default_generator.manual_seed,
        "get_device_properties": properties,
        "get_device_name": lambda index=None: properties(index).name,
        "get_device_capability": lambda _=None: (9, 0),
        "can_device_access_peer": lambda *_: True,
        "is_bf16_supported": lambda *_, **__: True,
        "mem_get_info": free,
        "memory_allocated": lambda _=None: device.memory()[1],
        "memory_reserved": lambda _=None: device.memory()[1],
        "max_memory_allocated": lambda _=None: device.memory()[2],
        "reset_peak_memory_stats": lambda _=None: None,
        "empty_cache": lambda: None,
        "ipc_collect": lambda: None,
    }
    for name, answer in answers.items():
        setattr(cuda, name, answer)
    cuda.amp.common.amp_definitely_not_available = lambda: False


def _share() -> None:
    """CUDA IPC, with torch's own arguments and values."""

    def share(storage: torch.UntypedStorage) -> tuple[Any, ...]:
        if not machine.shares:
            raise RuntimeError("CUDA error: operation not supported (the fake GPU was told so)")
        handle, size, offset = device.share(_bytes(storage))
        return device.current(), handle, size, offset, b"", 0, b"", False

    def mapped(
        index: int,
        handle: Any,
        size: int,
        offset: int,
        counter: bytes,
        counter_offset: int,
        event: bytes,
        waits: bool,
    ) -> torch.UntypedStorage:
        if not machine.maps:
            raise RuntimeError("pidfd_getfd: Operation not permitted (the fake GPU was told so)")
        found: torch.Tensor = device.mapped(index, handle, size, offset)
        return found.untyped_storage()

    torch.UntypedStorage._share_cuda_ = share  # type: ignore[method-assign]
    torch.UntypedStorage._new_shared_cuda = staticmethod(mapped)  # type: ignore[method-assign]


def _bytes(storage: torch.UntypedStorage) -> torch.Tensor:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def _resize() -> None:
    """A storage's resize_, which a torch without CUDA has only for the host."""
    usual = torch.UntypedStorage.resize_

    def resize(storage: torch.UntypedStorage, size: int) -> torch.UntypedStorage:
        if storage.device.type != "cuda":
            return usual(storage, size)
        device.resize(_bytes(storage), size)
        return storage

    torch.UntypedStorage.resize_ = resize  # type: ignore[method-assign]


def _group() -> None:
    """NCCL's demands on what it is given, and gloo to carry it."""
    begin, message, reduce, gather = (
        dist.init_process_group,
        dist.P2POp,
        dist.all_reduce,
        getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor,
    )
    known = dist.is_backend_available
    nccl = [False]

    def taken(tensor: torch.Tensor) -> torch.Tensor:
        if not nccl[0]:
            return tensor
        if not tensor.is_cuda:
            raise RuntimeError("No backend type associated with device type cpu")
        if tensor.device.index != torch.cuda.current_device():
            raise RuntimeError("NCCL: a tensor of another GPU than the current one")
        if not tensor.is_contiguous():
            raise ValueError("Tensors must be contiguous")
        lower: torch.Tensor = device.lowered(tensor)
        return lower

    def init(backend: str, *, device_id: Any = None, **others: Any) -> None:
        nccl[0] = backend == "nccl"
        if nccl[0]:
            _see_one_rank_on_each(device_id, **others)
        begin("gloo" if nccl[0] else backend, device_id=None if nccl[0] else device_id, **others)

    def p2p(op: Any, tensor: torch.Tensor, *others: Any, **named: Any) -> Any:
        return message(op, taken(tensor), *others, **named)

    def all_reduce(tensor: torch.Tensor, *others: Any, **named: Any) -> Any:
        return reduce(taken(tensor), *others, **named)

    def all_gather(out: torch.Tensor, own: torch.Tensor, *others: Any, **named: Any) -> Any:
        return gather(taken(out), taken(own), *others, **named)

    dist.is_backend_available = lambda name: name == "nccl" or known(name)
    dist.init_process_group = init
    dist.P2POp = p2p  # type: ignore[assignment, misc]
    dist.all_reduce = all_reduce
    for name in ("all_gather_single", "all_gather_into_tensor"):
        setattr(dist, name, all_gather)


def _see_one_rank_on_each(device_id: Any, store: Any, rank: int, world_size: int, **_: Any) -> None:
    """NCCL ends a start in which two ranks have the same GPU."""
    assert device_id == torch.device("cuda", torch.cuda.current_device()), device_id
    mine = machine.uuid(device_id.index)
    store.set(f"fake GPU of {rank}", mine)
    others = [store.get(f"fake GPU of {i}").decode() for i in range(world_size)]
    if others.count(mine) > 1:
        raise RuntimeError(f"NCCL error: Duplicate GPU detected: {mine}")
