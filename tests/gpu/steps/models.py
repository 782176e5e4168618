"""E2: one step of every model, side by side and one after another, on the GPU and the processor."""

import copy
from collections.abc import Iterator

import numpy as np
import torch
from findings import kind, left, note, trying
from torch import Tensor

from mpidl.components.models import MODELS, Shape
from mpidl.config.runfile import TrainingSettings
from mpidl.devices.batch import Batch
from mpidl.devices.device import Device, Samples
from mpidl.ranks.accelerators import rounding

DEVICES = 4
IMAGE = Shape((3, 32, 32), 10)
TEXT = Shape((17,), 14, 14)
SMALL = {
    "transformer": {"layers": 2, "heads": 2, "width": 32},
    "vit": {"patch": 8, "layers": 2, "heads": 2, "width": 32, "hidden": 32},
}
PRECISIONS = ("float32", "tf32", "bfloat16")


def main() -> None:
    """Every model and precision; small models first, so that what is left out is the slowest."""
    hardware = kind()
    slow = ("vgg16", "resnet18", "resnet50", "mobilenet_v2")
    for name in sorted(MODELS, key=lambda name: (name in slow, name)):
        with trying(f"{name}.model"):
            model, known = built(name), {}
            for precision in PRECISIONS:
                if left() > 4:
                    with trying(key := f"{name}.{precision}"):
                        note(key, compared(name, model, precision, hardware, known))


def built(name: str) -> torch.nn.Module:
    """A model of that name, the same at each start."""
    torch.manual_seed(0)
    return MODELS[name](TEXT if name == "transformer" else IMAGE, **SMALL.get(name, {}))


def compared(
    name: str,
    model: torch.nn.Module,
    precision: str,
    hardware: str,
    known: dict[bool, tuple[Tensor, Tensor]],
) -> str:
    """How far the ways are apart, as shares of the largest change of a number in the step.

    Args:
        name: The model's.
        model: As it is at the start.
        precision: Of the arithmetic.
        hardware: Where devices train.
        known: What the processor makes of it, where it was asked before, by whether in bfloat16.
    """
    training = TrainingSettings(steps=1, batch_size=16, lr=0.1, precision=precision)
    short = precision == "bfloat16"
    if short not in known:
        known[short] = step(name, model, training, "cpu", together=False, devices=1)
    before, reference = known[short]
    with rounding(precision):
        _, apart = step(name, model, training, hardware, together=False)
        moved = float((reference[0] - before[0]).abs().max())
        told = [f"to the processor {share(apart[0], reference[0], moved)}"]
        try:
            _, side = step(name, model, training, hardware, together=True)
            told.append(f"side by side {share(side, apart, moved)}")
        except Exception as error:
            told.append(f"side by side {type(error).__name__}: {str(error).splitlines()[0][:120]}")
    return ", ".join(told)


def step(
    name: str,
    model: torch.nn.Module,
    training: TrainingSettings,
    hardware: str,
    together: bool,
    devices: int = DEVICES,
) -> tuple[Tensor, Tensor]:
    """The vectors before and after one step, ``(D, P)`` on the processor."""
    hosted = dict(enumerate(learners(name, model, training, hardware, devices)))
    matrix = torch.zeros(devices, hosted[0].flat.size, device=hardware)
    for number, device in hosted.items():
        device.flat.adopt(matrix[number])
    before = matrix.cpu().clone()
    if together:
        Batch(hosted, training).train(0, list(hosted))
    else:
        for device in hosted.values():
            device.train(0)
    return before, torch.stack([device.flat.vector.cpu() for device in hosted.values()])


def learners(
    name: str, model: torch.nn.Module, training: TrainingSettings, hardware: str, devices: int
) -> Iterator[Device]:
    """Devices with 16 random samples each."""
    for number in range(devices):
        draw = np.random.default_rng(number)
        labels = torch.from_numpy(draw.integers(10, size=16))
        if name == "transformer":
            given = torch.from_numpy(draw.integers(14, size=(16, 17)).astype(np.uint8))
        else:
            given = torch.from_numpy(draw.normal(size=(16, 3, 32, 32)).astype(np.float32))
        samples = Samples(given.to(hardware), labels.to(hardware), name == "transformer", 3)
        yield Device(number, copy.deepcopy(model).to(hardware), samples, training)


def share(one: Tensor, other: Tensor, of: float) -> str:
    """The largest difference as a share of the largest change."""
    return f"{float((one - other).abs().max()) / of:.1e}"


if __name__ == "__main__":
    main()
