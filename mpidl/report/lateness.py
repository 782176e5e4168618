"""Lateness: the device that learned last, when, and why so late."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mpidl.report import labels, recorded

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]


def sentence(run: "xr.Dataset", by_device: dict[str, Array], threshold: float) -> str:
    """A sentence about the last device to reach a threshold of OOD accuracy, and why.

    If some devices never reach it, it is about the one of them that knows least; without accuracies
    about the one with the greatest loss. Its numbers are
    compared with the median of all devices that are neither sources nor attackers.

    Args:
        run: An opened run.
        by_device: The numbers of devices in its summary.
        threshold: OOD accuracy.

    Returns:
        One or two sentences; empty without OOD data, or if all devices are sources.
    """
    reached, last = by_device["rounds_to_threshold"], by_device["ood_last"]
    others = (by_device["source"] != 1) & ~recorded.attackers(run) & ~np.isnan(last)
    if not others.any() or not (by_device["source"] == 1).any():
        return ""
    if recorded.less(recorded.value(run)):
        most = int(np.flatnonzero(others)[np.argmax(last[others])])
        first = (
            f"OOD loss is greatest on device {labels.device(run, most)}, {last[most]:.3g} after "
            f"the last round (median {np.median(last[others]):.3g})."
        )
        return f"{first} {_why(run, by_device, others, most)}".strip()
    late = np.flatnonzero(others & np.isnan(reached))
    count, total = len(late), int(others.sum())
    if count:
        least = int(late[np.argmin(last[late])])
        first = (
            f"{count} of the {total} devices that had to learn it did not reach OOD accuracy "
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


def _why(run: "xr.Dataset", by_device: dict[str, Array], others: Array, device: int) -> str:
    """Possible reasons why a device is late, compared with the median of the others."""
    reasons = []
    hops, passage = by_device["hops"], by_device["passage"]
    if hops[device] < 0:
        return "No path leads there from a source."
    known = others & (hops >= 0)
    reasons.append(
        f"it is {count(int(hops[device]), 'link')} from the nearest source (median "
        f"{np.median(hops[known]):g})"
    )
    if np.isfinite(passage[device]):
        middle = np.nanmedian(passage[others])
        reasons.append(f"W predicts {passage[device]:.3g} rounds (median {middle:.3g})")
    nearer = _from_nearer(run, hops)
    if nearer is not None:
        reasons.append(
            f"devices nearer to the source have {nearer[device]:.2g} of its weights (median "
            f"{np.median(nearer[known]):.2g})"
        )
    *most, final = reasons
    return f"Why: {', '.join(most)}{', and ' if most else ''}{final}."


def _from_nearer(run: "xr.Dataset", hops: Array) -> Array | None:
    """For each device its weights in W for devices nearer to a source, summed, ``(N,)``."""
    if "W" not in run or run["W"].shape != (len(hops), len(hops)):
        return None
    nearer = (hops[None, :] >= 0) & (hops[None, :] < hops[:, None])
    return np.asarray((run["W"].to_numpy() * nearer).sum(axis=1))


def count(number: int, noun: str) -> str:
    """A number with its noun, such as ``1 link`` or ``2 links``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
