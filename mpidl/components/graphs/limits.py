"""Limits of graphs: how many links they may have, and which parameters make none."""

import math

from mpidl.config.faults import Fault

LINKS = 10_000_000
"""Directed links that a graph may have; each takes about 400 bytes on every rank."""


def within(name: str, devices: int, radius: float | None) -> float:
    """The radius of a geometric graph of points in the unit square, where the user gave none.

    Raises:
        Fault: If such a graph would have too many links.
    """
    if radius is None:
        radius = math.sqrt(2 * math.log(devices) / (math.pi * devices))
    share = min(1.0, math.pi * radius**2)
    affordable(name, devices, share * devices * (devices - 1))
    return radius


def even(degree: int, devices: int) -> None:
    """See that a graph of one degree has a whole number of links, or raise a Fault."""
    if degree * devices % 2:
        raise Fault(f"topology.degree = {degree}: must be even where devices, {devices}, is odd.")


def below(key: str, value: int, devices: int) -> None:
    """See that a number is below that of the devices, or raise a Fault."""
    if value >= devices:
        raise Fault(f"topology.{key} = {value}: must be below the number of devices, {devices}.")


def affordable(name: str, devices: int, links: float) -> None:
    """See that a graph does not have too many links, or raise a Fault."""
    if links > LINKS:
        raise Fault(
            f"topology.devices = {devices}: a {name} graph of that size has about {links:.0e} "
            f"directed links; at most {LINKS:,} are allowed."
        )
