"""Natural shifts: images under other conditions, a class that few devices see, or no shift."""

from collections.abc import Callable
from typing import Annotated

import numpy as np
from pydantic import Field

from mpidl.components.ood.shift import OODS, Array, Rng, Shape, Shift, image_size, none_of
from mpidl.config.faults import Fault


@OODS.add
def none(shape: Shape, /) -> Shift:
    """No OOD data: no sample is changed, and the OOD test set is empty."""
    return Shift(apply=_copies, eligible=lambda inputs, labels: none_of(labels))


@OODS.add
def noise(
    shape: Shape, /, deviation: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = 0.3
) -> Shift:
    """Gaussian noise on every value; its standard deviation is a share of the data's span.

    Noise, blur and fog are kinds of D. Hendrycks and T. Dietterich, arXiv 1903.12261, in forms of
    our own. Labels stay.

    Raises:
        Fault: If the data are tokens.
    """
    if shape.vocabulary:
        image_size("noise", shape)
    low, high = shape.span

    def turn(inputs: Array, rng: Rng) -> Array:
        grain = rng.standard_normal(inputs.shape, dtype=np.float32)
        noisy: Array = inputs + np.float32(deviation * (high - low)) * grain
        return noisy

    return _within(shape, turn)


@OODS.add
def blur(
    shape: Shape, /, width: Annotated[float, Field(gt=0, le=32, allow_inf_nan=False)] = 1.0
) -> Shift:
    """Gaussian blur; the width is its standard deviation in pixels. Labels stay.

    Raises:
        Fault: If the data are not images.
    """

    def turn(inputs: Array, rng: Rng) -> Array:
        return _smooth(inputs, width, "nearest")

    return _picture("blur", shape, turn)


@OODS.add
def fog(
    shape: Shape, /, density: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.7
) -> Shift:
    """Drifts of white: from half of the density to all of it, by place. Labels stay.

    Raises:
        Fault: If the data are not images.
    """
    high = np.float32(shape.span[1])

    def turn(inputs: Array, rng: Rng) -> Array:
        n, _, height, width = inputs.shape
        drifts = rng.random((n, 1, height, width), dtype=np.float32)
        drifts = _smooth(drifts, min(height, width) / 8, "wrap")
        drifts -= drifts.min(axis=(2, 3), keepdims=True)
        drifts /= np.maximum(drifts.max(axis=(2, 3), keepdims=True), np.float32(1e-6))
        return inputs + (high - inputs) * np.float32(density) * (1 + drifts) / 2

    return _picture("fog", shape, turn)


@OODS.add
def rotation(
    shape: Shape, /, degrees: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)] = 45.0
) -> Shift:
    """Images turned counter-clockwise about their middle; corners are dark. Labels stay.

    Raises:
        Fault: If the data are not images.
    """

    def turn(inputs: Array, rng: Rng) -> Array:
        from scipy.ndimage import rotate

        turned: Array = rotate(
            inputs, degrees, axes=(3, 2), reshape=False, order=1, cval=shape.span[0]
        )
        return turned

    return _picture("rotation", shape, turn)


@OODS.add(classes=True)
def held_out_class(shape: Shape, /, held_out: Annotated[int, Field(ge=0)] = 0) -> Shift:
    """A class (of sequences: a task) that only the sources see.

    Raises:
        Fault: If there is no such class.
    """
    if held_out >= shape.classes:
        raise Fault(f"ood.held_out = {held_out}: classes are 0 to {shape.classes - 1}.")
    return Shift(
        apply=_copies,
        eligible=lambda inputs, labels: labels == held_out,
        reserved=lambda labels: labels == held_out,
        takes_all=True,
    )


def _copies(inputs: Array, labels: Array, rng: Rng) -> tuple[Array, Array]:
    return inputs.copy(), labels.copy()


def _picture(kind: str, shape: Shape, turn: Callable[[Array, Rng], Array]) -> Shift:
    """A shift that changes images within their span, and keeps labels."""
    image_size(kind, shape)
    return _within(shape, turn)


def _within(shape: Shape, turn: Callable[[Array, Rng], Array]) -> Shift:
    def apply(inputs: Array, labels: Array, rng: Rng) -> tuple[Array, Array]:
        return np.clip(turn(inputs, rng), *shape.span), labels.copy()

    return Shift(apply)


def _smooth(images: Array, width: float, edges: str) -> Array:
    from scipy.ndimage import gaussian_filter

    smooth: Array = gaussian_filter(images, (0, 0, width, width), mode=edges)
    return smooth
