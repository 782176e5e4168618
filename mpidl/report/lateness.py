"""The question that every reader has: when did the last device learn, which, and why so late."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mpidl.report import labels, measures

if TYPE_CHECKING:
    import xarray as xr

    from mpidl.report.collection import Collection

Array = npt.NDArray[Any]


def told(run: "xr.Dataset", by_device: dict[str, Array], threshold: float) -> str:
    """When the last device reached a threshold of OOD accuracy, and what sets it apart.

    Where some never did, it is about the one of them that knows least. Beside its number stands
    the median of all devices that are no source and do not attack.

    Args:
        run: An opened run.
        by_device: Of its summary.
        threshold: OOD accuracy.

    Returns:
        A sentence or two; empty where there is no OOD data, or nobody but sources.
    """
    reached, last = by_device["rounds_to_threshold"], by_device["ood_last"]
    others = (by_device["source"] != 1) & ~measures.attackers(run) & np.isfinite(last)
    if not others.any() or not (by_device["source"] == 1).any():
        return ""
    never = np.flatnonzero(others & np.isnan(reached))
    count, all_ = len(never), int(others.sum())
    if count:
        least = int(never[np.argmin(last[never])])
        first = (
            f"{count} of the {all_} devices that had to learn it did not reach OOD accuracy "
            f"{threshold:g} in {int(run.attrs['rounds_done'])} rounds; device "
            f"{labels.device(run, least)} knows least of it ({last[least]:.2f})."
        )
    else:
        least = int(np.flatnonzero(others)[np.argmax(reached[others])])
        first = (
            f"The last device to reach OOD accuracy {threshold:g} is device "
            f"{labels.device(run, least)}, in round {reached[least]:.0f} (median "
            f"{np.median(reached[others]):g})."
        )
    return f"{first} {_why(run, by_device, others, least)}".strip()


def answers(collection: "Collection") -> list[str]:
    """What heads a report: of one run its own sentences, of several one for all of them."""
    runs = collection.summaries
    if len(runs) == 1:
        return [one.late for one in runs.values() if one.late]
    found: dict[str, list[float]] = {}
    for name, strategy in zip(collection.runs["run"], collection.runs["strategy"], strict=True):
        one = runs[name]
        if one.completed and one.late:
            rounds = one.by_device["rounds_to_threshold"][one.by_device["source"] != 1]
            found.setdefault(strategy, []).append(float(rounds.max()))
    if not found:
        return []
    parts = []
    for strategy in labels.ordered(found):
        last = np.array(found[strategy])
        there = last[np.isfinite(last)]
        when = f", in the median after round {np.median(there):g}" if len(there) else ""
        parts.append(f"{strategy} in {len(there)} of {_count(len(last), 'run')}{when}")
    return [
        f"The last device reached OOD accuracy {collection.threshold:g} by {'; by '.join(parts)}. "
        "Which device is last, and why, the report of a single run says."
    ]


def _why(run: "xr.Dataset", by_device: dict[str, Array], others: Array, one: int) -> str:
    """What may have kept a device, beside the median of the others."""
    reasons = []
    hops, passage = by_device["hops"], by_device["passage"]
    if hops[one] < 0:
        return "No path leads there from what knows."
    known = others & (hops >= 0)
    reasons.append(
        f"it is {_count(int(hops[one]), 'link')} from the nearest source (median "
        f"{np.median(hops[known]):g})"
    )
    if np.isfinite(passage[one]):
        middle = np.nanmedian(passage[others])
        reasons.append(f"W predicts {passage[one]:.3g} rounds (median {middle:.3g})")
    nearer = _from_nearer(run, hops)
    if nearer is not None:
        reasons.append(
            f"devices nearer to the source have {nearer[one]:.2g} of its weights (median "
            f"{np.median(nearer[known]):.2g})"
        )
    *most, final = reasons
    return f"Why: {', '.join(most)}{', and ' if most else ''}{final}."


def _from_nearer(run: "xr.Dataset", hops: Array) -> Array | None:
    """Of each device the weight of those in W that are nearer to a source, ``(N,)``."""
    if "W" not in run or run["W"].shape != (len(hops), len(hops)):
        return None
    nearer = (hops[None, :] >= 0) & (hops[None, :] < hops[:, None])
    return np.asarray((run["W"].to_numpy() * nearer).sum(axis=1))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
