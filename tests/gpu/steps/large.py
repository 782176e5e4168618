"""E4: resnet18 on random images: side by side or one by one, evaluation, consensus distance."""

import copy
import time
from collections.abc import Callable

import numpy as np
import torch
from findings import kind, left, note, real, trying

from mpidl.components.models import MODELS, Shape
from mpidl.config.runfile import EvaluationSettings, TrainingSettings
from mpidl.devices.batch import Batch
from mpidl.devices.device import Device, Samples
from mpidl.exchange import BACKENDS, Wiring
from mpidl.ranks.accelerators import settle
from mpidl.ranks.node import Node

TRAINING = TrainingSettings(steps=2, batch_size=32, lr=0.01)
MODEL, NUMBERS = ("resnet18", 11_173_962) if real() else ("logistic", 111_739)


def main() -> None:
    """Distances, scores, then steps, of which the last take longest."""
    hardware = torch.device(kind())
    with trying("consensus"):
        consensus(16, hardware)
    with trying("evaluation"):
        evaluate(16, hardware)
    for devices in (1, 4, 16):
        with trying(f"step.{devices}"):
            train(devices, hardware)


def hosted(devices: int, hardware: torch.device) -> dict[int, Device]:
    """Devices with 64 random images each, on the rows of a matrix."""
    torch.manual_seed(0)
    model = MODELS[MODEL](Shape((3, 32, 32), 10))
    found = {}
    for number in range(devices):
        own = copy.deepcopy(model).to(hardware)
        found[number] = Device(number, own, images(64, hardware), TRAINING)
    matrix = torch.zeros(devices, found[0].flat.size, device=hardware)
    for number, device in found.items():
        device.flat.adopt(matrix[number])
    return found


def images(count: int, hardware: torch.device) -> Samples:
    """Random images."""
    draw = np.random.default_rng(count)
    given = torch.from_numpy(draw.normal(size=(count, 3, 32, 32)).astype(np.float32))
    return Samples(given.to(hardware), torch.from_numpy(draw.integers(10, size=count)).to(hardware))


def timed(action: Callable[[], object], hardware: torch.device, times: int = 2) -> float:
    """Milliseconds, the least of some times; the first time is not counted if there is room."""
    taken = []
    for turn in range(times + 1):
        settle(hardware)
        began = time.perf_counter()
        action()
        settle(hardware)
        taken.append(1e3 * (time.perf_counter() - began))
        if left() < 5 or (turn == 0 and taken[0] > 5000):
            break
    return min(taken[1:] or taken)


def train(devices: int, hardware: torch.device) -> None:
    """A step of all devices by both ways."""
    if left() < 8:
        note(f"step.{devices}", "no time was left")
        return
    own = hosted(devices, hardware)
    batch = Batch(own, TRAINING)
    alone = timed(lambda: [device.train(0) for device in own.values()], hardware) / TRAINING.steps
    note(f"step.{devices}", f"one by one {alone:.1f} ms")
    side = timed(lambda: batch.train(0, list(own)), hardware) / TRAINING.steps
    note(f"step.{devices}", f"one by one {alone:.1f} ms, side by side {side:.1f} ms")


def evaluate(devices: int, hardware: torch.device) -> None:
    """A test set of 512 by 16 and by 512 samples a call, and as the program cuts it."""
    own = hosted(devices, hardware)
    batch, tests = Batch(own, TRAINING), images(512, hardware)
    for size in (512, 16):
        if left() < 6:
            note(f"evaluation.{size}", "no time was left")
            continue
        wanted = EvaluationSettings(batch_size=size)
        taken = timed(lambda wanted=wanted: batch.evaluate(tests, 10, wanted), hardware, times=1)
        note(f"evaluation.{size}", f"{taken:.1f} ms for {devices} devices")


def consensus(devices: int, hardware: torch.device) -> None:
    """The consensus distance of 16 vectors of 45 MB on one rank, and their mixing."""
    from mpidl import plan
    from mpidl.ranks import world

    with world.world() as comm:
        node = Node(comm)
        made = plan.make(plan.read(None, [f"topology.devices={devices}"], comm.size), comm.size)
        wiring = Wiring(node, made.hosts, made.mixing_graph, NUMBERS, hardware, torch.float32)
        exchange = BACKENDS["auto"](wiring)
        for device, vector in exchange.vectors.items():
            vector.fill_(device)
        weights = made.mixing_weights(0, list(exchange.vectors))

        def turn() -> None:
            exchange.arrive(weights)
            exchange.share()
            exchange.mix(measure=True)

        note("mixing", f"{timed(turn, hardware):.2f} ms")
        note("consensus", f"{timed(exchange.distances, hardware):.1f} ms")
        exchange.close()
        node.close()


if __name__ == "__main__":
    main()
