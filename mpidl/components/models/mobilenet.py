"""Networks of inverted bottlenecks, after Sandler et al. (arXiv 1801.04381)."""

from typing import TYPE_CHECKING

from mpidl.components.models.shape import MODELS, Shape

if TYPE_CHECKING:
    from torch import nn

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, filters, repeats and first stride of each stage."""


@MODELS.add
def mobilenet_v2(shape: Shape, /) -> "nn.Module":
    """MobileNetV2 for small images: three halvings of the size instead of five.

    2,296,922 parameters on CIFAR-10; takes images from 16x16 on. Unlike the published network, and
    as usual on CIFAR, every block of stride 1 has a shortcut (a 1x1 convolution where the number of
    filters changes) and the first block has its 1x1 expansion.
    """
    channels, _, _ = shape.image("mobilenet_v2", least=16)
    from torch import nn

    from mpidl.components.models.layers import convolution, head, inverted

    layers: list[nn.Module] = [convolution(channels, 32), nn.ReLU6(inplace=True)]
    channels = 32
    for expansion, filters, repeats, stride in STAGES:
        for repeat in range(repeats):
            layers.append(inverted(channels, filters, expansion, stride if repeat == 0 else 1))
            channels = filters
    layers += [convolution(channels, 1280, kernel=1), nn.ReLU6(inplace=True)]
    return nn.Sequential(*layers, head(1280, shape.outputs))
