"""Every algorithm in whole runs: the same bits on one rank and on all, whatever carries vectors."""

import numpy as np
import pytest

from mpidl.components.algorithms import ALGORITHMS

pytestmark = pytest.mark.dealt

BACKENDS = ("shared", "mpi", "gloo")
SETTINGS = {"relay_sum": ("topology.name=binary_tree", "strategy.name=unweighted")}
DOUBLY = ("topology.name=ring", "strategy.name=metropolis_hastings")
HOSTED = ("seconds_", "bytes_")
"""Series that depend on hosting, as docs/good_to_know.md says."""


def alike(first, second):
    """Compare all series that do not depend on hosting."""
    keys = [key for key in first if key.startswith("series/")]
    assert keys == [key for key in second if key.startswith("series/")]
    for key in keys:
        if not key.removeprefix("series/").startswith(HOSTED):
            assert first[key].tobytes() == second[key].tobytes(), key


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_ranks_and_backends_change_no_bit(comm, program, name):
    settings = [
        f"topology.devices={2 * comm.size + 1}",
        *SETTINGS.get(name, DOUBLY),
        f"algorithm.name={name}",
        "training.rounds=4",
    ]
    first = program(*settings, alone=True, name="alone")
    assert np.isfinite(first["series/consensus_distance"]).all()
    for backend in BACKENDS:
        alike(first, program(*settings, f"exchange.backend={backend}", name=backend))
