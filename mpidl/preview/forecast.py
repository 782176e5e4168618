"""The forecast from graph and weights before a run, in sentences."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mpidl.components.graphs import prediction
from mpidl.preview.facts import Facts, Weighed

BEYOND = (
    "communities, bridges and how knowledge spreads are not sought beyond "
    f"{prediction.CLOSE:,} devices"
)
"""The sentence on a larger graph."""

CHANGING = (
    f"W is not the same in every round, and beyond {prediction.WALKED} devices not followed: what "
    "is said of it is said of the first round"
)
"""The sentence on a W that changes and is not followed."""

NAMED = 8
"""Most bridges or communities that a sentence lists."""


def narrow(found: Facts) -> list[str]:
    """A sentence on communities and bridges."""
    if found.devices > prediction.CLOSE:
        return [BEYOND]
    if found.communities is None or found.bridges is None:
        return [f"communities and bridges are not sought beyond {prediction.MERGED:,} links"]
    sizes = [len(group) for group in found.communities]
    groups = f"{len(sizes)} communities of {_listed(sizes)} devices"
    if len(sizes) == 1:
        groups = f"one community of {sizes[0]} devices"
    if found.modularity is not None:
        groups += f", modularity {found.modularity:.3f}"
    links = [f"{i}-{j}" for i, j in found.bridges]
    return [f"{groups}; " + (f"{_number(links)}: {_listed(links)}" if links else "no bridge")]


def _number(links: Sequence[str]) -> str:
    return "one bridge" if len(links) == 1 else f"{len(links)} bridges"


def _listed(values: Sequence[Any]) -> str:
    names = ", ".join(map(str, values[:NAMED]))
    more = len(values) - NAMED
    return f"{names} and {more} more" if more > 0 else names


def knowledge(found: Weighed, sources: Sequence[int]) -> list[str]:
    """Sentences on how knowledge spreads, as far as it is known."""
    devices, sentences = len(found.passage_worst or ()), []
    if found.effective_neighbors is not None:
        sentences.append(
            f"mixing averages over {found.effective_neighbors:.3g} of {devices} devices "
            f"(effective number of neighbors, decay {prediction.DECAY:g})"
        )
    if sources and devices > len(sources):
        sentences.append(arrival(found, sources))
    if devices > 1:
        sentences.append(advice(found))
    return sentences


def arrival(found: Weighed, sources: Sequence[int]) -> str:
    """A sentence on the rounds until knowledge of the sources arrives."""
    passage = found.passage or ()
    worst, mean = over(passage, sources)
    if worst is None:
        missing = sum(value is None for value in passage)
        many = f"{missing} of {len(passage)} devices"
        return f"knowledge of the sources {_fails(found)} {many}{_within(found)}"
    return (
        f"predicted rounds until knowledge of the sources reaches a device: {rounds(mean)} on "
        f"average, {rounds(worst)} at most"
    )


def _fails(found: Weighed) -> str:
    return "never reaches" if found.followed is None else "does not reach"


def _within(found: Weighed) -> str:
    followed = found.followed
    return "" if followed is None else f" in the {followed} rounds that are followed"


def spectrum(moduli: Sequence[float]) -> str:
    """A sentence on the largest moduli of a spectrum in descending order."""
    shown = [f"{modulus:.4g}" for modulus in np.round(moduli, 10)]
    return f"moduli of the eigenvalues of W: {_listed(shown)}"


def advice(found: Weighed) -> str:
    """A sentence on the device from which, as the only source, knowledge spreads fastest."""
    best, mean, worst = found.fastest, found.passage_mean, found.passage_worst
    if best is None or mean is None or worst is None:
        return f"from no device does knowledge reach all others{_within(found)}"
    return (
        f"knowledge spreads fastest from device {best}: predicted "
        f"{rounds(mean[best])} rounds on average, "
        f"{rounds(worst[best])} at most"
    )


def over(
    passage: Sequence[float | None], sources: Sequence[int]
) -> tuple[float | None, float | None]:
    """The most and the mean predicted rounds over devices that are no source; None if never."""
    others = [value for device, value in enumerate(passage) if device not in set(sources)]
    known = [value for value in others if value is not None]
    if not others or len(known) < len(others):
        return None, None
    return max(known), sum(known) / len(known)


def rounds(value: float | None, followed: int | None = None) -> str:
    """A predicted number of rounds as text, to three digits; ``never`` or a bound for None.

    Args:
        value: The rounds.
        followed: The number of rounds for which a W that changes was followed.
    """
    if value is None:
        return "never" if followed is None else f">{followed}"
    return f"{value:.3g}" if value >= 1e5 or value < 100 else f"{value:,.0f}"
