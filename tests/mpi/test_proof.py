"""Every number of the table of proofs, on as many ranks as there are; devices share ranks."""

import pytest

from tests.deal import slow_but
from tests.proof.table import CHECKS

pytestmark = pytest.mark.dealt

RANKS = (1, 2, 4, 8)
"""Of the table, results/algorithms.md; on others it would take minutes and say the same."""


def slow(check):
    """Whether it takes hundreds of rounds for what a shorter one of its kind shows."""
    compressed = check.algorithm.startswith("choco") and check.what.startswith("distance")
    drawn = check.what.startswith("contraction") and "16 devices" in check.what
    return drawn or (compressed and check.algorithm != "choco, top_k")


@pytest.mark.ranks(1, 2, 4)
@pytest.mark.parametrize(
    "check",
    slow_but(CHECKS, *(check for check in CHECKS if not slow(check))),
    ids=lambda check: f"{check.algorithm}: {check.what}",
)
def test_what_is_measured_is_what_a_formula_says(comm, one_thread, check):
    if comm.size not in RANKS:
        pytest.skip("is proved on 1, 2, 4 and 8 ranks")
    found = check.measure(comm)
    assert found.apart <= found.tolerance, (found.measured, found.expected)
