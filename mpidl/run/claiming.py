"""Claiming of a results file, so that no other run writes it meanwhile."""

import os

from mpidl.ranks import claims, world
from mpidl.ranks.world import Comm


def claimed(comm: Comm, hold: claims.Hold, patient: bool, there: bool = False) -> bool:
    """Collective. Claim the results file; False if another run still writes it.

    Args:
        comm: All ranks.
        hold: The claim.
        patient: Whether to wait and see if that run goes on.
        there: Whether to claim it only if its folder exists.

    Raises:
        Fault: If another run writes it, and this one does not wait.
    """
    taken = True
    with world.agreed(comm):
        # Unlike pathlib's, this function returns False for a name that is too long.
        if comm.rank == 0 and (not there or os.path.isdir(hold.target.parent)):
            taken = hold.take(patient, lambda line: print(line, flush=True))
    return bool(comm.bcast(taken))
