"""A small ResNet, built as torchvision's are, on a folder of images.

python examples/folder_resnet.py makes a folder of images, pictures/; then
mpiexec -n 2 python -m mpidl.run examples/folder_resnet.toml trains on it.
"""

from pathlib import Path

from torch import nn


class Block(nn.Module):
    """Two convolutions with a way around them (K. He et al., arXiv 1512.03385)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.around = nn.Identity()
        if stride > 1 or before != after:
            self.around = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, images):
        """Features of half the size if the stride is 2."""
        return (self.convolutions(images) + self.around(images)).relu()


def resnet(num_classes: int = 1000, width: int = 8, stages: int = 3):
    """A ResNet of one block a stage, for images in three colours.

    Args:
        num_classes: Outputs.
        width: Channels of the first stage; each further one has twice as many.
        stages: Number of stages; each but the first halves the size.
    """
    layers = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    for stage in range(stages):
        before, after = width * 2 ** max(stage - 1, 0), width * 2**stage
        layers.append(Block(before, after, stride=2 if stage else 1))
    last = width * 2 ** (stages - 1)
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, num_classes)]
    return nn.Sequential(*layers, *pooled)


if __name__ == "__main__":
    import numpy as np
    from PIL import Image

    from mpidl.components.datasets import DATASETS

    digits = DATASETS["digits"](None, 0)
    for part in ("train", "test"):
        inputs, labels = getattr(digits, f"{part}_inputs"), getattr(digits, f"{part}_labels")
        for place, (image, label) in enumerate(zip(inputs[:, 0], labels, strict=True)):
            path = Path("pictures", part, digits.classes[label], f"{place:04}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image * 255).astype(np.uint8)).save(path)
