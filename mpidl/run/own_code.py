"""The user's own code in a run: loaded before ranks are forked, and the same on all nodes."""

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mpidl.config import plugins
from mpidl.config.faults import Fault
from mpidl.config.own_code import Code
from mpidl.ranks import hdf5, host
from mpidl.ranks.world import Comm
from mpidl.storage.code_records import shown


@contextmanager
def forkable() -> Iterator[None]:
    """Load code, within the context, in a process that is to be forked.

    What mpidl imports comes first, and torch gets no threads, which would not be in a forked rank.

    Raises:
        RuntimeError: If own code has started threads or an accelerator, so that each rank must
            load it for itself.
    """
    before = list[int]()

    def get_ready() -> None:
        hdf5.load()
        import torch

        from mpidl.run import build, rounds  # noqa: F401

        torch.set_num_threads(1)
        before.append(_threads())

    try:
        with plugins.before_loading(get_ready):
            yield
    finally:
        if before and (_threads() > before[0] or threading.active_count() > 1 or _on_accelerator()):
            raise RuntimeError("this process cannot be forked")


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _on_accelerator() -> bool:
    torch = sys.modules["torch"]
    return bool(torch.cuda.is_initialized() or torch.xpu.is_initialized())


def check_same(comm: Comm, codes: Sequence[Code]) -> None:
    """Collective. Check that all ranks have loaded the same code.

    Raises:
        Fault: With a sentence for each file or module that is not the same on all nodes.
    """
    known = {code.name: shown(code) for code in codes}
    everywhere: list[tuple[str, dict[str, str]]] = comm.allgather((host.name(), known))
    place, first = everywhere[0]
    faults = dict[str, None]()
    for other, there in everywhere:
        for name in dict.fromkeys([*first, *there]):
            here, elsewhere = first.get(name, "missing"), there.get(name, "missing")
            if here != elsewhere:
                sentence = f"{name} is {here} on {place} and {elsewhere} on {other}"
                faults[f"{sentence}; all nodes must have the same."] = None
    if faults:
        raise Fault(*faults)
