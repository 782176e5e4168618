"""A plain convolutional network."""

from typing import TYPE_CHECKING

from mpidl.components.models.shape import MODELS, Shape

if TYPE_CHECKING:
    from torch import nn


@MODELS.add
def cnn(shape: Shape, /) -> "nn.Module":
    """Six convolutions in three pooled pairs and three linear layers, without batch norm.

    5,851,338 parameters on CIFAR-10, as the published testbed's; takes images from 8x8 on.
    """
    channels, height, width = shape.image("cnn", least=8)
    from torch import nn

    layers: list[nn.Module] = []
    for first, second in ((32, 64), (128, 128), (256, 256)):
        for filters in (first, second):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(inplace=True)]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(256 * (height // 8) * (width // 8), 1024),
        nn.ReLU(inplace=True),
        nn.Linear(1024, 512),
        nn.ReLU(inplace=True),
        nn.Linear(512, shape.outputs),
    )
