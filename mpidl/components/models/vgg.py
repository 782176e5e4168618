"""Very deep networks of small convolutions, after Simonyan and Zisserman (arXiv 1409.1556)."""

from typing import TYPE_CHECKING

from mpidl.components.models.shape import MODELS, Shape

if TYPE_CHECKING:
    from torch import nn

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Filters of each convolution; every stage ends with a max-pool."""


@MODELS.add
def vgg16(shape: Shape, /) -> "nn.Module":
    """VGG-16 with batch norm and one linear layer, as the paper trains it on CIFAR.

    14,728,266 parameters on CIFAR-10, 14,774,436 on CIFAR-100; takes images from 32x32 on.
    """
    channels, _, _ = shape.image("vgg16", least=32)
    from torch import nn

    from mpidl.components.models.layers import convolution, head

    layers: list[nn.Module] = []
    for stage in STAGES:
        for filters in stage:
            layers += [convolution(channels, filters, bias=True), nn.ReLU(inplace=True)]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, head(channels, shape.outputs))
