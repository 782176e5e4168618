"""Shifts, the kinds of OOD data: samples of sources, and the global IID and OOD test sets."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.components.datasets import strata
from mpidl.config.faults import Fault, shown
from mpidl.config.registry import Properties, Registry

Array = npt.NDArray[Any]
Rng = np.random.Generator


class OodProperties(Properties):
    """Properties that a kind of OOD data declares.

    Attributes:
        classes: Whether it needs labels that are classes.
    """

    classes: bool = False


@dataclass(frozen=True)
class Shape:
    """Facts about a data set that a kind of OOD data needs.

    Attributes:
        inputs: Shape of one sample: ``(channels, height, width)``, or ``(positions,)`` of tokens.
        classes: C.
        vocabulary: Number of tokens, 0 for images.
        span: Lowest and highest value of an image.
    """

    inputs: tuple[int, ...]
    classes: int
    vocabulary: int = 0
    span: tuple[float, float] = (0.0, 1.0)


def all_of(inputs: Array, labels: Array) -> Array:
    """True for each sample, ``(n,)``."""
    return np.ones(len(labels), dtype=bool)


def none_of(labels: Array) -> Array:
    """False for each sample, ``(n,)``."""
    return np.zeros(len(labels), dtype=bool)


@dataclass(frozen=True)
class Shift:
    """One kind of OOD data, as functions on samples ``(n, *shape)`` and labels ``(n,)``.

    Attributes:
        apply: Makes OOD copies of samples and labels; random for some kinds.
        eligible: Whether each sample can become OOD, ``(n,)`` bool.
        reserved: Whether each sample may be seen by sources only, ``(n,)`` bool, from labels.
        takes_all: Whether all eligible test samples are the OOD test set, and sources get reserved
            samples in place of changed ones.
    """

    apply: Callable[[Array, Array, Rng], tuple[Array, Array]]
    eligible: Callable[[Array, Array], Array] = all_of
    reserved: Callable[[Array], Array] = none_of
    takes_all: bool = False


def _checked(name: str, shift: Any, shape: Shape) -> Shift:
    """What the builder of a kind returned, with functions that check what they return.

    Raises:
        Fault: If it is no :class:`Shift`; its functions, if it is nothing that can be used.
    """
    subject = f"ood.name = {name!r}:"
    if not isinstance(shift, Shift):
        raise Fault(f"{subject} gives {shown(shift)}: must be a Shift.")

    def apply(inputs: Array, labels: Array, rng: Rng) -> tuple[Array, Array]:
        made = shift.apply(inputs, labels, rng)
        if not isinstance(made, tuple) or len(made) != 2:
            raise Fault(f"{subject} apply gives {shown(made)}: must be inputs and labels.")
        shifted, relabeled = map(np.asarray, made)
        _like(f"{subject} apply gives inputs", shifted, inputs.shape, inputs.dtype)
        kind = np.dtype(np.int64) if labels.dtype.kind in "iu" else labels.dtype
        _like(f"{subject} apply gives labels", relabeled, labels.shape, kind)
        if shape.classes and kind.kind == "i" and relabeled.size:
            low, high = relabeled.min(), relabeled.max()
            if not 0 <= low <= high < shape.classes:
                raise Fault(
                    f"{subject} apply gives labels from {low} to {high}: must be from 0 to "
                    f"{shape.classes - 1}."
                )
        return shifted, relabeled

    def eligible(inputs: Array, labels: Array) -> Array:
        found = np.asarray(shift.eligible(inputs, labels))
        return _like(f"{subject} eligible gives values", found, labels.shape[:1], np.dtype(bool))

    def reserved(labels: Array) -> Array:
        found = np.asarray(shift.reserved(labels))
        return _like(f"{subject} reserved gives values", found, labels.shape[:1], np.dtype(bool))

    return replace(shift, apply=apply, eligible=eligible, reserved=reserved)


def _like(subject: str, found: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array of the shape and type that is needed; whole numbers may be of any size.

    Raises:
        Fault: If it is another.
    """
    same = found.dtype.kind in "iu" if dtype.kind == "i" else found.dtype == dtype
    if found.shape != shape or not same:
        raise Fault(
            f"{subject} of the shape {found.shape} and type {found.dtype}: must be {shape} of "
            f"{dtype}."
        )
    return found


OODS = Registry("OOD kind", OodProperties, gives=1, check=_checked)
"""Builders of kinds: ``builder(shape: Shape, /, **parameters) -> Shift``."""


def image_size(kind: str, shape: Shape) -> tuple[int, int]:
    """Height and width of the images that a kind works on.

    Raises:
        Fault: If the data are not images.
    """
    if shape.vocabulary:
        raise Fault(f"ood.name = {kind!r} needs images; this data set has sequences of tokens.")
    if len(shape.inputs) != 3:
        size = "x".join(map(str, shape.inputs))
        raise Fault(
            f"ood.name = {kind!r} needs images; this data set has samples of {size}, which "
            "'noise', 'held_out_class' and 'none' take."
        )
    return shape.inputs[1], shape.inputs[2]


def split_test(
    shift: Shift, inputs: Array, labels: Array, share: float, rng: Rng
) -> tuple[Array, Array, Array, Array]:
    """Split a test set in two, without replacement; IID samples keep their order.

    As in arXiv 2505.11760, ``share`` of all samples are drawn, stratified; the eligible ones among
    them become OOD, the others stay. At least one sample becomes OOD if one is eligible, and at
    least one stays. Kinds that take all samples split by eligibility alone. Either set may be
    empty: the OOD set without eligible samples, the IID set if all are reserved.

    Returns:
        IID inputs and labels, OOD inputs and labels.
    """
    if shift.takes_all:
        taken = np.flatnonzero(shift.eligible(inputs, labels))
    else:
        taken = _draw(shift, inputs, labels, share, rng, most=len(labels) - 1)
    shifted, relabeled = _apply(shift, inputs[taken], labels[taken], rng)
    return np.delete(inputs, taken, axis=0), np.delete(labels, taken, axis=0), shifted, relabeled


def turn(
    shift: Shift,
    inputs: Array,
    labels: Array,
    proportion: float,
    rng: Rng,
    pool: tuple[Array, Array] | None = None,
) -> tuple[Array, Array, Array]:
    """The samples of a source device, some of which are replaced by OOD samples.

    ``proportion`` of the samples are drawn, stratified; the eligible ones among them are replaced
    by OOD copies, at least one if one is eligible. For kinds that take all samples, every drawn
    sample is replaced by one of the pool, drawn without replacement, until the pool is empty.

    Args:
        shift: The kind.
        inputs: Samples of the device, ``(n, *shape)``; left as they are.
        labels: Their labels, ``(n,)``.
        proportion: From 0 to 1.
        rng: The generator of the draws.
        pool: Reserved samples and labels that this device may use; each of several sources gets a
            part of all reserved ones.

    Returns:
        New inputs, new labels, and whether each sample is OOD, ``(n,)`` bool.
    """
    turned, relabeled, mask = inputs.copy(), labels.copy(), np.zeros(len(labels), dtype=bool)
    if shift.takes_all:
        places, new = _reserved(labels, proportion, rng, pool or (inputs[:0], labels[:0]))
    else:
        places = _draw(shift, inputs, labels, proportion, rng, most=len(labels))
        new = _apply(shift, inputs[places], labels[places], rng)
    turned[places], relabeled[places] = new
    mask[places] = True
    return turned, relabeled, mask


def _apply(shift: Shift, inputs: Array, labels: Array, rng: Rng) -> tuple[Array, Array]:
    return shift.apply(inputs, labels, rng) if len(labels) else (inputs, labels)


def _count(samples: int, share: float) -> int:
    return min(samples, max(1, round(share * samples))) if share > 0 else 0


def _draw(shift: Shift, inputs: Array, labels: Array, share: float, rng: Rng, most: int) -> Array:
    """Stratified draw of ``share`` of all samples, without those that are not eligible."""
    count = min(_count(len(labels), share), max(most, 0))
    eligible = shift.eligible(inputs, labels)
    drawn = strata.choose(labels, count, rng)
    kept = drawn[eligible[drawn]]
    return np.flatnonzero(eligible)[:1] if count and not len(kept) else kept


def _reserved(
    labels: Array, proportion: float, rng: Rng, pool: tuple[Array, Array]
) -> tuple[Array, tuple[Array, Array]]:
    count = min(_count(len(labels), proportion), len(pool[1]))
    drawn = rng.permutation(len(pool[1]))[:count]
    return strata.choose(labels, count, rng), (pool[0][drawn], pool[1][drawn])
