"""Every number of the table of proofs, on as many ranks as there are; devices share ranks."""

import pytest

from tests.proof.table import CHECKS

MOST = 8
"""Ranks that the smallest of the checked graphs have devices for."""


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.algorithm}: {check.what}")
def test_what_is_measured_is_what_a_formula_says(comm, one_thread, check):
    if comm.size > MOST:
        pytest.skip(f"takes up to {MOST} ranks")
    found = check.measure(comm)
    assert found.apart <= found.tolerance, (found.measured, found.expected)
