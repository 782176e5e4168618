"""Parts of convolutional models; activations work in place if nothing else reads their input.

Initial weights are drawn as by PyTorch's layers, from torch's global generator.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn


def convolution(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    stride: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Sequential:
    """A convolution that keeps height and width at stride 1, then batch norm."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias),
        nn.BatchNorm2d(outputs),
    )


def head(inputs: int, outputs: int) -> nn.Sequential:
    """The mean over all pixels, then one linear layer: ``(B, inputs, H, W)`` to ``(B, C)``."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, outputs))


class Residual(nn.Module):
    """A body plus its shortcut, added into the body's output."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H', W')``."""
        total: Tensor = self.body(images)
        total += self.shortcut(images)
        return total


def basic(inputs: int, width: int, stride: int) -> nn.Sequential:
    """The body of a ResNet-18 block: two 3x3 convolutions."""
    return nn.Sequential(
        convolution(inputs, width, stride=stride),
        nn.ReLU(inplace=True),
        convolution(width, width),
    )


def bottleneck(inputs: int, width: int, stride: int) -> nn.Sequential:
    """The body of a ResNet-50 block: 1x1 down, 3x3 (which strides), 1x1 up to ``4 * width``."""
    return nn.Sequential(
        convolution(inputs, width, kernel=1),
        nn.ReLU(inplace=True),
        convolution(width, width, stride=stride),
        nn.ReLU(inplace=True),
        convolution(width, 4 * width, kernel=1),
    )


def inverted(inputs: int, outputs: int, expansion: int, stride: int) -> nn.Module:
    """A MobileNetV2 block: 1x1 up, 3x3 by channel, 1x1 down, with a shortcut at stride 1."""
    wide = expansion * inputs
    body = nn.Sequential(
        convolution(inputs, wide, kernel=1),
        nn.ReLU6(inplace=True),
        convolution(wide, wide, stride=stride, groups=wide),
        nn.ReLU6(inplace=True),
        convolution(wide, outputs, kernel=1),
    )
    return Residual(body, _shortcut(inputs, outputs, 1)) if stride == 1 else body


def residual_network(
    channels: int,
    outputs: int,
    block: Callable[[int, int, int], nn.Module],
    repeats: Sequence[int],
    expansion: int = 1,
) -> nn.Sequential:
    """A 3x3 convolution, stages of residual blocks, and a head.

    Args:
        channels: Channels of the images.
        outputs: ``C`` classes.
        block: Makes a body from its inputs, its width and its stride.
        repeats: Blocks of each stage; each stage doubles the width and halves the size.
        expansion: Factor from a block's width to its outputs.
    """
    layers: list[nn.Module] = [convolution(channels, 64), nn.ReLU(inplace=True)]
    inputs = 64
    for stage, count in enumerate(repeats):
        width = 64 * 2**stage
        for number in range(count):
            stride = 2 if stage > 0 and number == 0 else 1
            shortcut = _shortcut(inputs, expansion * width, stride)
            layers += [Residual(block(inputs, width, stride), shortcut), nn.ReLU(inplace=True)]
            inputs = expansion * width
    return nn.Sequential(*layers, head(inputs, outputs))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return convolution(inputs, outputs, kernel=1, stride=stride)
