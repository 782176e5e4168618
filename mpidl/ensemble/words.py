"""Words for numbers of nodes, hours and seconds, as a person says them."""

from collections.abc import Sequence

HOUR = 3600.0


def so_many(count: int, noun: str = "node") -> str:
    """A count with its noun, such as ``1 node`` or ``3 nodes``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def span(low: int, high: int) -> str:
    """A range of counts, such as ``1 to 8``."""
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def in_hours(count: float) -> str:
    """A number of hours, such as ``1.5 h``."""
    return f"{count:g} h"


def duration(seconds: float) -> str:
    """A length of time in the unit that suits it, such as ``90 s`` or ``3.5 h``."""
    for unit, size, limit in (("s", 1.0, 120), ("min", 60.0, 120), ("h", HOUR, 48)):
        if seconds < limit * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / (24 * HOUR):.3g} days"


def brief(seconds: float) -> str:
    """A time below a second, in ms or us."""
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.3g} us"


def spread(seconds: Sequence[float]) -> str:
    """The range of times that are sorted, the longest first."""
    least, most = duration(seconds[-1]), duration(seconds[0])
    return most if least == most else f"{least} to {most}"
