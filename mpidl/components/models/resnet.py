"""Residual networks in their CIFAR form, after He et al. (arXiv 1512.03385).

The first convolution is 3x3 and no pooling follows it, so that 32x32 images keep their size up to
the second stage.
"""

from typing import TYPE_CHECKING

from mpidl.components.models.shape import MODELS, Shape

if TYPE_CHECKING:
    from torch import nn


@MODELS.add
def resnet18(shape: Shape, /) -> "nn.Module":
    """ResNet-18 for small images: 3x3 first convolution, no first pooling.

    11,173,962 parameters on CIFAR-10; takes images from 16x16 on.
    """
    channels, _, _ = shape.image("resnet18", least=16)
    from mpidl.components.models.layers import basic, residual_network

    return residual_network(channels, shape.outputs, basic, repeats=(2, 2, 2, 2))


@MODELS.add
def resnet50(shape: Shape, /) -> "nn.Module":
    """ResNet-50 for small images: 3x3 first convolution, no first pooling.

    23,520,842 parameters on CIFAR-10; takes images from 16x16 on.
    """
    channels, _, _ = shape.image("resnet50", least=16)
    from mpidl.components.models.layers import bottleneck, residual_network

    return residual_network(channels, shape.outputs, bottleneck, repeats=(3, 4, 6, 3), expansion=4)
