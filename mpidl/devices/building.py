"""Building of a run's models and devices, from its plan and data."""

from typing import Any

import numpy.typing as npt
import torch

from mpidl.components import lr_schedules, torch_optimizers
from mpidl.components.models import MODELS
from mpidl.components.torch_optimizers import TorchOptimizer
from mpidl.config import seeds
from mpidl.config.faults import Fault
from mpidl.devices import batching
from mpidl.devices.batch import obstacle
from mpidl.devices.data import RunData
from mpidl.devices.device import Device, Samples, seed_torch
from mpidl.devices.flat import Flat
from mpidl.plan import Plan

Array = npt.NDArray[Any]


def make_model(plan: Plan, run_data: RunData, device: int) -> torch.nn.Module:
    """The initial model of a device: the same for all, or its own, as the run file says."""
    training = plan.file.training
    own = ("init of one device", device) if training.init == "per_device" else ("init",)
    with torch.random.fork_rng([]):
        seed_torch(seeds.integer(training.seed, *own), torch.device("cpu"))
        model: torch.nn.Module = MODELS.build(plan.file.model, run_data.traits.shape)
    return model


def sketch(plan: Plan, run_data: RunData) -> torch.nn.Module:
    """A model without memory for its numbers, unless its builder needs them."""
    try:
        with torch.device("meta"):
            return make_model(plan, run_data, 0)
    except Fault:
        raise
    except Exception:  # a user's builder may raise anything here
        return make_model(plan, run_data, 0)


def sizes(plan: Plan, run_data: RunData) -> tuple[int, int]:
    """P and T: the numbers of floating values and of learned values of a model of this run.

    Raises:
        Fault: If the model does not fit the data.
    """
    flat = Flat(sketch(plan, run_data))
    return flat.size, flat.learned


def side_by_side(plan: Plan, run_data: RunData, hosted: int, hardware: torch.device) -> bool:
    """Whether a rank trains the devices that it hosts at once instead of one after another.

    Raises:
        Fault: If the run file wants it and the model does not allow it.
    """
    setting, kind = plan.file.training.batched, hardware.type
    if torch_optimizers.named(plan.file.training):
        return False
    if setting == "no" or (setting == "auto" and kind == "cpu"):
        return False
    model = sketch(plan, run_data)
    if setting == "auto" and not batching.pays(model, hosted, kind):
        return False
    inputs, labels = run_data.tests["iid"]
    few = samples(run_data, inputs[:2], labels[:2], torch.device("meta"))
    reason = obstacle(model, few)
    if reason is not None and setting == "yes":
        raise Fault(
            f"training.batched = 'yes': model {plan.file.model.name!r} cannot be trained for many "
            f"devices at once ({reason}); 'auto' and 'no' train them one after another."
        )
    return reason is None and hosted > 1


def make_devices(
    plan: Plan, run_data: RunData, rank: int, hardware: torch.device
) -> dict[int, Device]:
    """The devices of a rank with their models and shards."""
    return {number: _device(plan, run_data, number, hardware) for number in plan.hosted(rank)}


def _device(plan: Plan, run_data: RunData, number: int, hardware: torch.device) -> Device:
    training, section = plan.file.training, plan.file.lr_schedule
    model = make_model(plan, run_data, number).to(hardware)
    shard = samples(run_data, *run_data.shards[number], hardware)
    device = Device(number, model, shard, training, lr_schedules.factor(section))
    if torch_optimizers.named(training):
        steps = training.rounds * device.steps
        device.optimizer = TorchOptimizer(training, device.weights, section, steps)
    return device


def samples(run_data: RunData, inputs: Array, labels: Array, to: torch.device) -> Samples:
    """Samples of a run's data, on some hardware."""
    return Samples(
        torch.from_numpy(inputs).to(to),
        torch.from_numpy(labels).to(to),
        sequence=run_data.traits.sequence,
        padding=run_data.traits.padding,
    )
