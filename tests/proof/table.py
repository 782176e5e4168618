"""All checks, in the order of the table."""

from tests.proof import mixing, optima
from tests.proof.checks import CHECKS

__all__ = ["CHECKS", "mixing", "optima"]
