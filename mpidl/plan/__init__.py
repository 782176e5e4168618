"""All that follows from a run file alone: graph, weights, hosts, data; the same on every rank."""

from mpidl.plan.making import make
from mpidl.plan.plans import SPECTRUM, Plan, Rows
from mpidl.plan.reading import FREE, KINDS, differences, read

__all__ = ["FREE", "KINDS", "SPECTRUM", "Plan", "Rows", "differences", "make", "read"]
