"""The vision transformer, after Dosovitskiy et al. (arXiv 2010.11929)."""

from typing import TYPE_CHECKING

from mpidl.components.models.shape import MODELS, Depth, Shape, Width, divide

if TYPE_CHECKING:
    from torch import nn


@MODELS.add
def vit(
    shape: Shape,
    /,
    patch: Width = 2,
    layers: Depth = 6,
    heads: Width = 8,
    width: Width = 512,
    hidden: Width = 512,
) -> "nn.Module":
    """Small vision transformer over patches of the image, with a class token.

    9,612,810 parameters on CIFAR-10 as it stands; the sides of an image must be multiples of
    ``patch`` pixels. ``hidden`` is the width inside the perceptron of each block.
    """
    divide(width, heads)
    image = shape.image("vit", multiple=patch)
    from mpidl.components.models.attention import VisionTransformer

    return VisionTransformer(image, shape.outputs, patch, layers, heads, width, hidden)
