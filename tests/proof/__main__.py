"""Measure all checks on the ranks at hand; rank 0 prints a line of JSON for each.

mpiexec -n 4 python -m tests.proof
"""

import json

import torch

from mpidl.ranks import world
from mpidl.ranks.world import Comm
from tests.proof.checks import Check, size
from tests.proof.table import CHECKS


def told(check: Check, comm: Comm) -> dict[str, object]:
    """Collective. What came out of a check, for the table."""
    found = check.measure(comm)
    return {
        "algorithm": check.algorithm,
        "what": check.what,
        "measured": size(found.measured),
        "expected": size(found.expected),
        "apart": found.apart,
        "tolerance": found.tolerance,
        "bits": found.bits,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    with world.world() as comm:
        for check in CHECKS:
            line = json.dumps(told(check, comm))
            if comm.rank == 0:
                print(line, flush=True)
