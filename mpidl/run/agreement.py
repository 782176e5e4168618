"""Agreement of ranks on what a program gives: it must be the same on all of them."""

from collections.abc import Mapping

from mpidl.config.faults import Fault
from mpidl.ranks.world import Comm

UNSET = "not set"
"""Stands for the text that a rank does not have."""


def check_same(comm: Comm, texts: Mapping[str, str]) -> None:
    """Collective. Check that every rank has the same texts.

    Args:
        comm: All ranks.
        texts: Texts by what they are of, such as a setting.

    Raises:
        Fault: With the first that differs, as rank 0 and another have it; the same on every rank.
    """
    first: dict[str, str] = comm.bcast(dict(texts))
    pairs = ((k, first.get(k, UNSET), texts.get(k, UNSET)) for k in {**first, **texts})
    other = next((pair for pair in pairs if pair[1] != pair[2]), None)
    for rank, found in enumerate(comm.allgather(other)):
        if found is not None:
            key, here, there = found
            raise Fault(
                f"{key}: must be the same on every rank; it is {_cut(here)} on rank 0 and "
                f"{_cut(there)} on rank {rank}."
            )


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:196]} ..."
