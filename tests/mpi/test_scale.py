"""Setting up a run takes calls and tensors in proportion to its devices, not to their square."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from torch.utils._python_dispatch import TorchDispatchMode

import mpidl

pytestmark = pytest.mark.dealt

HOME = str(Path(mpidl.__file__).parent)

WAITING = ("node.py", "world.py", "watchdog.py")
"""Whose calls depend on how long others take."""

KINDS = (
    (),
    ("exchange.mixing=delayed",),
    ("algorithm.name=gradient_tracking",),
    ("attack.name=sign_flip", "attack.devices=random:50%", "ood.sources=random:50%"),
)


class Operations(TorchDispatchMode):
    """Counts what torch does."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


@pytest.fixture
def taken(comm, parts, finish):
    """As ``taken(devices, *settings)``: calls of mpidl's functions and operations of torch.

    Those of all ranks, each of which hosts so many devices.
    """

    def count(devices, *settings):
        calls, operations = Counter(), Operations()

        def note(frame, event, argument):
            path = frame.f_code.co_filename
            if event == "call" and path.startswith(HOME) and not path.endswith(WAITING):
                calls[frame.f_code.co_qualname] += 1

        wanted = "data.train_samples=400", f"topology.devices={devices * comm.size}", *settings
        before = sys.getprofile()
        with operations:
            sys.setprofile(note)
            try:
                with parts(*wanted) as made:
                    made.gossip.begin(list(made.devices))
                    made.gossip.give(0, [True] * devices)
                    made.gossip.decide(0)
                    made.gossip.arrive(0)
                    made.gossip.share()
                    made.gossip.mix(0)
            finally:
                sys.setprofile(before)
        return comm.allreduce(np.array([calls.total(), operations.count]))

    return count


@pytest.mark.parametrize("settings", KINDS, ids=lambda settings: " ".join(settings) or "plain")
def test_twice_the_devices_take_twice_the_calls(taken, settings):
    taken(2, *settings)
    few, more, many = (taken(devices, *settings) for devices in (4, 8, 16))
    assert (few > 0).all()
    # Where each asked for all, it would be four times as many.
    assert (many - more <= 2.1 * (more - few)).all(), (few, more, many)
