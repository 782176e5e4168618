"""Trial of a model by torch before a run: whether it fits hardware, memory and data."""

from collections.abc import Sequence

import torch

from mpidl.components.models import MODELS
from mpidl.components.tasks import TASKS
from mpidl.config.faults import Fault, first_line, shown
from mpidl.devices import building
from mpidl.devices.data import RunData
from mpidl.devices.flat import Flat
from mpidl.exchange import survey
from mpidl.plan import Plan, network
from mpidl.plan.sentences import volume
from mpidl.ranks import accelerators, host
from mpidl.ranks.world import Comm


def fits(
    node: Comm, plan: Plan, run_data: RunData, ranks: Sequence[int], seats: Sequence[str]
) -> None:
    """Try the accelerator and the model, without memory for its parameters, and check its size.

    Args:
        node: The ranks of this node.
        plan: The plan of the run.
        run_data: Its data.
        ranks: The numbers of the node's ranks, this one first.
        seats: A text that identifies the accelerator of each of them; empty for processors.

    Raises:
        Fault: If accelerator, precision or backend are missing, or the model does not fit data,
            memory or batching, or has nothing to learn or too few outputs.
    """
    place = accelerators.choose(node, plan.file.training.accelerator)
    accelerators.check_precision(place, plan.file.training.precision)
    survey.foresee(plan.file.exchange.backend, place.type)
    model = building.sketch(plan, run_data)
    _learns(plan, model)
    size, memory = Flat(model).size, accelerators.memory(place)
    shares = [[rank for rank, at in zip(ranks, seats, strict=True) if at == s] for s in {*seats}]
    needed, share = max(
        (
            sum(plan.numbers(size, rank) for rank in sharers) * torch.float32.itemsize,
            sharers,
        )
        for sharers in shares
    )
    devices = sum(len(plan.hosted(rank)) for rank in share)
    if needed > memory:
        name, parameters = plan.file.model.name, MODELS.parameters(plan.file.model)
        settings = "".join(f", {key} = {shown(value)}" for key, value in parameters.items())
        longest = network.longest(plan.file.network)
        which = f", which {len(share)} ranks share" * (place.type != "cpu" and len(share) > 1)
        late = f", with what network.delay = {shown(plan.file.network.delay)} keeps" * (longest > 0)
        raise Fault(
            f"model.name = {name!r}{settings}: has {size:,} parameters, for which {devices} "
            f"devices need {volume(needed)}{late}; {host.name()} has {volume(memory)} for its "
            f"{place.type}{which}."
        )
    if TASKS.properties(run_data.traits.task).targets != "any":
        _answers(plan, run_data, model)
    aim = building.objective(plan, run_data)
    building.side_by_side(plan, run_data, len(plan.hosted(ranks[0])), place, aim)


def _learns(plan: Plan, model: torch.nn.Module) -> None:
    """Check that a model has something to learn, and numbers of the type of vectors.

    Raises:
        Fault: If it does not.
    """
    subject = f"model.name = {plan.file.model.name!r}:"
    if not any(weights.requires_grad for weights in model.parameters()):
        raise Fault(f"{subject} has no parameters that training could change.")
    slots = [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())]
    if other := next((slot.dtype for slot in slots if slot.dtype != torch.float32), None):
        raise Fault(f"{subject} has numbers of {other}: must be {torch.float32}.")


def _answers(plan: Plan, run_data: RunData, model: torch.nn.Module) -> None:
    """Check that a model takes the data, and has enough outputs.

    It gets a few samples, once: without memory or, if it needs numbers, on the processor.

    Args:
        plan: The plan of the run.
        run_data: Its data.
        model: A model without memory for its numbers.

    Raises:
        Fault: If it does not.
    """
    subject, outputs = f"model.name = {plan.file.model.name!r}:", run_data.traits.shape.outputs
    try:
        answers, targets = _pass(model, run_data, "meta")
    except Exception:  # a user's model may raise anything, here and below
        try:
            answers, targets = _pass(building.make_model(plan, run_data, 0), run_data, "cpu")
        except Exception as error:
            shape = "x".join(map(str, run_data.traits.shape.inputs))
            raise Fault(
                f"{subject} cannot be given samples of {shape}: {first_line(error)}."
            ) from None
    if not isinstance(answers, torch.Tensor) or not answers.is_floating_point():
        kind = answers.dtype if isinstance(answers, torch.Tensor) else type(answers).__name__
        raise Fault(f"{subject} gives {kind}: must give a tensor of floating numbers.")
    if not run_data.traits.classes:
        _predicts(subject, answers, targets, outputs)
        return
    if answers.shape[:-1] != targets.shape:
        shape_needed = (*targets.shape, outputs)
        raise Fault(
            f"{subject} gives the shape {tuple(answers.shape)} for {len(targets)} samples: must be "
            f"{shape_needed}."
        )
    if answers.shape[-1] < outputs:
        noun = "tokens" if run_data.traits.sequence else "classes"
        raise Fault(
            f"{subject} gives {answers.shape[-1]} outputs: must be {outputs}, as the data have "
            f"{outputs} {noun}."
        )


def _predicts(subject: str, answers: torch.Tensor, targets: torch.Tensor, outputs: int) -> None:
    """Check that a model gives as many numbers as a sample has for a target.

    Raises:
        Fault: If it does not.
    """
    if tuple(answers.shape) not in (tuple(targets.shape), (len(targets), outputs)):
        raise Fault(
            f"{subject} gives the shape {tuple(answers.shape)} for {len(targets)} samples: must be "
            f"{(len(targets), outputs)}, as a sample has {outputs} number{'s' * (outputs > 1)} as "
            "its target."
        )


def _pass(model: torch.nn.Module, run_data: RunData, where: str) -> tuple[object, torch.Tensor]:
    """The outputs of a model for a few samples, and the targets."""
    inputs, labels = (array[: building.FEW] for array in run_data.tests["iid"])
    few = building.samples(run_data, inputs, labels, torch.device(where))
    batch, targets = few.batch(slice(building.FEW))
    with torch.no_grad():
        return model.eval()(batch), targets
