"""The trial of a model by torch before a run: whether it fits hardware, memory and data."""

from collections.abc import Sequence

import torch

from mpidl.components.models import MODELS
from mpidl.config.faults import Fault, shown
from mpidl.devices import building
from mpidl.devices.data import Stock
from mpidl.exchange import survey
from mpidl.plan import Plan, network
from mpidl.ranks import accelerators, host
from mpidl.ranks.world import Comm

FEW = 2
"""Samples that a model is given."""


def fits(node: Comm, plan: Plan, stock: Stock, ranks: Sequence[int], seats: Sequence[str]) -> None:
    """Try the accelerator and the model, without memory for it, and its size.

    Args:
        node: The ranks of this node.
        plan: The run.
        stock: Its data.
        ranks: Those of this node, this one first.
        seats: What tells apart the accelerators of each of them; processors are one.

    Raises:
        Fault: If accelerator, precision or backend are not there, or the model does not fit data,
            memory or batching, or has nothing to learn or too few outputs.
    """
    place = accelerators.choose(node, plan.file.training.accelerator)
    accelerators.check_precision(place, plan.file.training.precision)
    survey.foresee(plan.file.exchange.backend, place.type)
    _learns(plan, building.sketch(plan, stock))
    (size, _), there = building.sizes(plan, stock), accelerators.memory(place)
    building.side_by_side(plan, stock, len(plan.hosted(ranks[0])), place)
    shares = [[rank for rank, at in zip(ranks, seats, strict=True) if at == s] for s in {*seats}]
    needed, share = max(
        (sum(plan.numbers(size, rank) for rank in some) * torch.float32.itemsize, some)
        for some in shares
    )
    devices = sum(len(plan.hosted(rank)) for rank in share)
    if needed > there:
        name, given = plan.file.model.name, MODELS.parameters(plan.file.model)
        told = "".join(f", {key} = {shown(value)}" for key, value in given.items())
        longest = network.longest(plan.file.network)
        which = f", which {len(share)} ranks share" * (place.type != "cpu" and len(share) > 1)
        late = f", with what network.delay = {shown(plan.file.network.delay)} keeps" * (longest > 0)
        raise Fault(
            f"model.name = {name!r}{told}: has {size:,} parameters, for which {devices} devices "
            f"need {needed / 1e9:,.0f} GB{late}; {host.name()} has {there / 1e9:,.0f} GB for its "
            f"{place.type}{which}."
        )
    _answers(plan, stock)


def _learns(plan: Plan, model: torch.nn.Module) -> None:
    """See whether a model has something to learn, and numbers of the type of vectors.

    Raises:
        Fault: If it does not.
    """
    told = f"model.name = {plan.file.model.name!r}:"
    if not any(weights.requires_grad for weights in model.parameters()):
        raise Fault(f"{told} has no parameters that training could change.")
    slots = [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())]
    if other := next((slot.dtype for slot in slots if slot.dtype != torch.float32), None):
        raise Fault(f"{told} has numbers of {other}: must be {torch.float32}.")


def _answers(plan: Plan, stock: Stock) -> None:
    """See whether a model takes the data, and answers with enough numbers.

    It is given a few samples, once: without memory or, where it needs numbers, on the processor.

    Raises:
        Fault: If it does not.
    """
    told, outputs = f"model.name = {plan.file.model.name!r}:", stock.traits.shape.outputs
    try:
        made, targets = _pass(building.sketch(plan, stock), stock, "meta")
    except Exception:  # whatever a model of one's own may raise here, and below
        try:
            made, targets = _pass(building.make_model(plan, stock, 0), stock, "cpu")
        except Exception as error:
            shape = "x".join(map(str, stock.traits.shape.inputs))
            why = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise Fault(f"{told} cannot be given samples of {shape}: {why}.") from None
    if not isinstance(made, torch.Tensor) or not made.is_floating_point():
        given = made.dtype if isinstance(made, torch.Tensor) else type(made).__name__
        raise Fault(f"{told} gives {given}: must give a tensor of floating numbers.")
    if made.shape[:-1] != targets.shape:
        wanted = (*targets.shape, outputs)
        raise Fault(
            f"{told} gives the shape {tuple(made.shape)} for {len(targets)} samples: must be "
            f"{wanted}."
        )
    if made.shape[-1] < outputs:
        what = "tokens" if stock.traits.sequence else "classes"
        raise Fault(
            f"{told} answers with {made.shape[-1]} numbers: must be {outputs}, as the data have "
            f"{outputs} {what}."
        )


def _pass(model: torch.nn.Module, stock: Stock, where: str) -> tuple[object, torch.Tensor]:
    """What a model answers to a few samples, and what it should."""
    inputs, labels = (array[:FEW] for array in stock.tests["iid"])
    few = building.samples(stock, inputs, labels, torch.device(where))
    given, targets = few.batch(slice(FEW))
    with torch.no_grad():
        return model.eval()(given), targets
