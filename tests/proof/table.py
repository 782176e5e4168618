"""All checks, in the order of the table."""

from tests.proof import changing, invariants, mixing, noise, optima, published
from tests.proof.checks import CHECKS

__all__ = ["CHECKS", "changing", "invariants", "mixing", "noise", "optima", "published"]
