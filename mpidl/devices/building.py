"""Building of a run's models and devices, from its plan and data."""

from typing import Any

import numpy.typing as npt
import torch

from mpidl.components.models import MODELS
from mpidl.config import seeds
from mpidl.config.faults import Fault
from mpidl.devices import batching
from mpidl.devices.batch import obstacle
from mpidl.devices.data import Stock
from mpidl.devices.device import Device, Samples, seed_torch
from mpidl.devices.flat import Flat
from mpidl.plan import Plan

Array = npt.NDArray[Any]


def make_model(plan: Plan, stock: Stock, device: int) -> torch.nn.Module:
    """The initial model of a device: the same for all, or its own, as the run file says."""
    training = plan.file.training
    own = ("init of one device", device) if training.init == "per_device" else ("init",)
    with torch.random.fork_rng([]):
        seed_torch(seeds.integer(training.seed, *own), torch.device("cpu"))
        model: torch.nn.Module = MODELS.build(plan.file.model, stock.traits.shape)
    return model


def sketch(plan: Plan, stock: Stock) -> torch.nn.Module:
    """A model without memory for its numbers, unless its builder needs them."""
    try:
        with torch.device("meta"):
            return make_model(plan, stock, 0)
    except Fault:
        raise
    except Exception:  # a user's builder may raise anything here
        return make_model(plan, stock, 0)


def sizes(plan: Plan, stock: Stock) -> tuple[int, int]:
    """P and T: the numbers of floating values and of learned values of a model of this run.

    Raises:
        Fault: If the model does not fit the data.
    """
    flat = Flat(sketch(plan, stock))
    return flat.size, flat.learned


def side_by_side(plan: Plan, stock: Stock, hosted: int, hardware: torch.device) -> bool:
    """Whether a rank trains the devices that it hosts at once instead of one after another.

    Raises:
        Fault: If the run file wants it and the model does not allow it.
    """
    setting, kind = plan.file.training.batched, hardware.type
    if setting == "no" or (setting == "auto" and kind == "cpu"):
        return False
    model = sketch(plan, stock)
    if setting == "auto" and not batching.pays(model, hosted, kind):
        return False
    inputs, labels = stock.tests["iid"]
    few = samples(stock, inputs[:2], labels[:2], torch.device("meta"))
    reason = obstacle(model, few)
    if reason is not None and setting == "yes":
        raise Fault(
            f"training.batched = 'yes': model {plan.file.model.name!r} cannot be trained for many "
            f"devices at once ({reason}); 'auto' and 'no' train them one after another."
        )
    return reason is None and hosted > 1


def make_devices(plan: Plan, stock: Stock, rank: int, hardware: torch.device) -> dict[int, Device]:
    """The devices of a rank with their models and shards."""
    return {
        number: Device(
            number,
            make_model(plan, stock, number).to(hardware),
            samples(stock, *stock.shards[number], hardware),
            plan.file.training,
        )
        for number in plan.hosted(rank)
    }


def samples(stock: Stock, inputs: Array, labels: Array, to: torch.device) -> Samples:
    """Samples of a run's data, on some hardware."""
    return Samples(
        torch.from_numpy(inputs).to(to),
        torch.from_numpy(labels).to(to),
        sequence=stock.traits.sequence,
        padding=stock.traits.padding,
    )
