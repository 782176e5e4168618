"""When MPI is trusted with accelerator memory; host memory stands in for it here."""

from types import SimpleNamespace

import pytest
import torch

from mpidl.exchange import aware
from mpidl.faults import Fault

CPU = torch.device("cpu")


class Corrupting:
    """A communicator that changes one number of long messages, as some MPIs did on GPUs."""

    def __init__(self, comm):
        self._comm, self.rank, self.size = comm, comm.rank, comm.size

    def Sendrecv(self, sent, to, tag, arrived, source, other):  # noqa: N802
        """Deliver, on rank 0 with a flaw."""
        self._comm.Sendrecv(sent, to, tag, arrived, source, other)
        if self.rank == 0 and len(arrived[0]) > 100_000:
            arrived[0][99_999] += 1

    def allreduce(self, *arguments):
        """As it is."""
        return self._comm.allreduce(*arguments)


def wiring(comm, wanted):
    return SimpleNamespace(comm=comm, device=CPU, accelerator_aware=wanted)


def test_messages_that_arrive_as_they_were_sent_are_believed(comm):
    assert aware.delivers(comm, CPU)
    assert aware.trusts(wiring(comm, "yes"))


def test_one_wrong_number_on_one_rank_is_seen_by_all(comm):
    assert not aware.delivers(Corrupting(comm), CPU)


def test_who_demands_it_is_told(comm):
    with pytest.raises(Fault, match=r"^exchange.accelerator_aware = 'yes': this MPI changes"):
        aware.trusts(wiring(Corrupting(comm), "yes"))


@pytest.mark.parametrize("known", [False, True])
def test_only_an_mpi_that_says_so_is_tried(comm, monkeypatch, known):
    tried = []
    monkeypatch.setattr(aware, "takes", lambda kind: known)
    monkeypatch.setattr(aware, "delivers", lambda *_: tried.append(1) or True)
    assert aware.trusts(wiring(comm, "auto")) == known
    assert not aware.trusts(wiring(comm, "no"))
    assert len(tried) == known
