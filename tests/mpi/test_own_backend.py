"""Backends of one's own: what they give is checked at its first use, and refused in a sentence."""

import numpy as np
import pytest
import torch

from mpidl.config.faults import Fault
from mpidl.exchange import BACKENDS
from mpidl.exchange.border import First
from mpidl.exchange.neighborhoods import Neighborhoods

pytestmark = pytest.mark.dealt


def spoiled(member, change):
    """A backend of which one member gives something else."""

    def builder(wiring, /):
        class Mine(Neighborhoods):
            pass

        given = vars(Neighborhoods).get(member) or getattr(Neighborhoods, member)
        if isinstance(given, property):
            setattr(Mine, member, property(lambda self: change(given.fget(self))))
        else:
            setattr(Mine, member, lambda self, *args, **named: change(given(self, *args, **named)))
        return Mine(wiring)

    return builder


def halved(vectors):
    return {device: vector[: len(vector) // 2] for device, vector in vectors.items()}


def spread(vector):
    """The same numbers, with others between them."""
    return torch.stack([vector, vector], 1)[:, 0]


def of_inboxes(change):
    return lambda found: {device: change(inbox) for device, inbox in found.items()}


LOOKS = ("strategy.name=degree_similarity",)
DISTANT = ("topology.name=ring",)

CASES = {
    "no exchange": (lambda wiring, /: 3, (), "gives 3, which has no 'arrive': must be an Exchange"),
    "no vectors": (
        spoiled("vectors", list),
        (),
        "vectors is .*: must be a dictionary of",
    ),
    "shape": (spoiled("vectors", halved), (), r"vectors of device \d+ is \(\d+,\) of .*: must be"),
    "type": (
        spoiled("vectors", lambda found: {i: v.double() for i, v in found.items()}),
        (),
        r"vectors of device \d+ is .* of torch.float64 in cpu memory: must be .*torch.float32 in",
    ),
    "gaps": (
        spoiled(
            "vectors", lambda found: {i: torch.stack([v, v], 1)[:, 0] for i, v in found.items()}
        ),
        (),
        r"vectors of device \d+ is one with gaps: must be a vector in one piece",
    ),
    "numpy": (
        spoiled("inboxes", of_inboxes(lambda inbox: {j: v.numpy() for j, v in inbox.items()})),
        LOOKS,
        r"inboxes of device \d+, vector of \d+, is \(\d+,\) of ndarray: must be \(\d+,\) of torch",
    ),
    "fewer": (
        spoiled("inboxes", of_inboxes(lambda inbox: dict([*inbox.items()][:1]))),
        LOOKS,
        r"inboxes of device \d+ is \[\d+\]: must be vectors of the devices \[\d+, .*\]",
    ),
    "distances": (spoiled("distances", np.array), DISTANT, "distances is array.*: must be a list"),
    "memory": (spoiled("memory", lambda _: [1]), ("checkpoint.every=1",), r"memory is \[1\]: must"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_backend_gives_is_checked(comm, program, monkeypatch, case):
    backend, settings, sentence = CASES[case]
    monkeypatch.setitem(BACKENDS, "mine", backend)
    with pytest.raises(Fault, match=f"^exchange.backend = 'mine': (on rank \\d its )?{sentence}"):
        program("exchange.backend=mine", f"topology.devices={comm.size + 2}", *settings)


def test_bytes_are_checked_and_only_the_first_round_is_looked_at(comm, program, monkeypatch):
    made = []

    def mine(wiring, /):
        made.append(Neighborhoods(wiring))
        return made[-1]

    monkeypatch.setitem(BACKENDS, "mine", mine)
    found = program("exchange.backend=mine")
    want = program("exchange.backend=mpi", name="want")
    for key in found:
        if not key.startswith("series/seconds_"):
            np.testing.assert_array_equal(found[key], want[key], err_msg=key)
    assert not any(isinstance(value, First) for value in vars(made[0]).values())

    def wrong(wiring, /):
        exchange = Neighborhoods(wiring)
        monkeypatch.setattr(exchange, "_count", lambda links: None)
        exchange.bytes_sent = dict.fromkeys(exchange.own, torch.zeros(2))
        return exchange

    monkeypatch.setitem(BACKENDS, "mine", wrong)
    told = r"bytes_sent of device \d+ is tensor\(.*: must be a number of bytes"
    with pytest.raises(Fault, match=told):
        program("exchange.backend=mine")
