"""Numbers of nodes, hours and seconds as a person says them."""

from collections.abc import Sequence

HOUR = 3600.0


def so_many(count: int, what: str = "node") -> str:
    """A number of nodes, or of something else."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def span(low: int, high: int) -> str:
    """From the one to the other."""
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def in_hours(count: float) -> str:
    """A number of hours."""
    return f"{count:g} h"


def duration(seconds: float) -> str:
    """A length of time as a person says it."""
    for unit, size, limit in (("s", 1.0, 120), ("min", 60.0, 120), ("h", HOUR, 48)):
        if seconds < limit * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / (24 * HOUR):.3g} days"


def brief(seconds: float) -> str:
    """A time far below a second."""
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.3g} us"


def spread(seconds: Sequence[float]) -> str:
    """From the least to the most of times, the longest first."""
    least, most = duration(seconds[-1]), duration(seconds[0])
    return most if least == most else f"{least} to {most}"
