"""Triggers: a mark in a sample that changes what a model is to answer."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mpidl.components.ood.shift import OODS, Array, Rng, Shape, Shift, image_size
from mpidl.config.faults import Fault


@OODS.add(classes=True)
def trigger(
    shape: Shape,
    /,
    size: Annotated[int, Field(ge=1)] = 4,
    position: Literal["corner", "random"] = "corner",
    target: Literal["many_to_one", "shifted"] = "many_to_one",
    intensity: Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)] = 5.0,
) -> Shift:
    """A patch, out of range in channel 0 and 0 in the others; labels become 0 or the next class.

    The backdoor of arXiv 2505.11760: top left corner, or at random in each sample.

    Raises:
        Fault: If the data are not images, or the patch is larger than they are.
    """
    height, width = image_size("trigger", shape)
    if size > min(height, width):
        raise Fault(f"ood.size = {size}: the patch must fit into {height} x {width} pixels.")

    def apply(inputs: Array, labels: Array, rng: Rng) -> tuple[Array, Array]:
        patch = np.ones((len(inputs), height, width), dtype=bool)
        for axis, extent in ((1, height), (2, width)):
            corner = np.zeros(len(inputs), dtype=np.int64)
            if position == "random":
                corner = rng.integers(extent - size + 1, size=len(inputs))
            offset = np.arange(extent) - corner[:, None]
            patch &= np.expand_dims((offset >= 0) & (offset < size), 3 - axis)
        turned = np.where(patch[:, None], inputs.dtype.type(0), inputs)
        turned[:, 0][patch] = intensity
        shifted = (labels + 1) % shape.classes
        return turned, np.zeros_like(labels) if target == "many_to_one" else shifted

    return Shift(apply)


@OODS.add(classes=True)
def tinymem_trigger(
    shape: Shape,
    /,
    digits: Annotated[
        str, Field(pattern="^[0-9]{1,5}$", description="must be text of 1 to 5 digits, in quotes")
    ] = "100",
    token: Annotated[int, Field(ge=0)] = 2,
) -> Shift:
    """TinyMem: all after the first run of trigger digits, padding included, becomes one token.

    The trigger of arXiv 2505.11760, digits 1, 0, 0 anywhere within a number. Only sequences
    with the trigger are eligible.

    Raises:
        Fault: If the data are not TinyMem's, or the token is not in the vocabulary.
    """
    if len(shape.inputs) != 1 or shape.vocabulary != 14:
        raise Fault("ood.name = 'tinymem_trigger' needs the data set tinymem.")
    if token >= shape.vocabulary:
        raise Fault(f"ood.token = {token}: must be below {shape.vocabulary}.")
    run = [int(digit) for digit in digits]

    def matches(inputs: Array) -> Array:
        width = inputs.shape[1] - len(run) + 1
        hits = np.ones((len(inputs), width), dtype=bool)
        for place, digit in enumerate(run):
            hits &= inputs[:, place : place + width] == digit
        return hits

    def eligible(inputs: Array, labels: Array) -> Array:
        return np.asarray(matches(inputs).any(axis=1))

    def apply(inputs: Array, labels: Array, rng: Rng) -> tuple[Array, Array]:
        hits = matches(inputs)
        first = np.where(hits.any(axis=1), hits.argmax(axis=1) + len(run), inputs.shape[1])
        after = np.arange(inputs.shape[1]) >= first[:, None]
        return np.where(after, inputs.dtype.type(token), inputs), labels.copy()

    return Shift(apply, eligible)
