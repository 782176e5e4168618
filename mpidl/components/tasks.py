"""Tasks: what models are trained for, as the loss of a batch and values beside it.

Torch is imported when a task is called, not before.
"""

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mpidl.config.faults import Fault
from mpidl.config.registry import Properties, Registry

if TYPE_CHECKING:
    from torch import Tensor

    Values = dict[str, Tensor]

Targets = Literal["classes", "tokens", "numbers"]

TARGETS: dict[str, Targets] = {
    "classification": "classes",
    "next_token": "tokens",
    "regression": "numbers",
}
"""By task of a data set, what its targets are."""

IGNORED = -100
"""The target that counts neither in the loss nor in accuracy, such as padding."""


class Batch(NamedTuple):
    """A batch, as a task gets it.

    Attributes:
        inputs: Inputs of the model: images or vectors, ``(B, *shape)`` float32, or tokens,
            ``(B, L - 1)`` int64.
        targets: ``(B,)`` int64 classes, ``(B, L - 1)`` int64 tokens, each the next one, -100 where
            it does not count, or ``(B,)`` or ``(B, outputs)`` float32 numbers.
    """

    inputs: "Tensor"
    targets: "Tensor"


class TaskProperties(Properties):
    """Properties that a task declares.

    Attributes:
        targets: The targets that the data set must have; ``"any"`` for a task that takes all.
        answers: Whether a model gives a score for each class or token, and the loss is their
            cross-entropy; then the program computes it for all devices of a rank at once, and
            counts right answers.
    """

    targets: Literal["classes", "tokens", "numbers", "any"] = "any"
    answers: bool = False


class Tasks(Registry[TaskProperties]):
    """Functions ``(model, batch: Batch, /, **settings) -> loss | (loss, values)``.

    ``model`` is a device's module, ``loss`` a tensor of one number, the mean over the batch.
    ``values`` are numbers by name, means over the batch too; the run records their means over each
    test set, weighted by samples. Training uses the loss alone.
    """

    def resolve(self, name: str, data: str, task: str) -> str:
        """The name of the task of a run.

        Args:
            name: ``task.name`` of the run file.
            data: The name of its data set.
            task: The task of the data set.

        Raises:
            Fault: If the data set lacks the targets that the task needs.
        """
        if name == "auto":
            return task
        wanted, has = self.properties(name).targets, TARGETS[task]
        if wanted not in ("any", has):
            raise Fault(
                f"task.name = {name!r}: needs {wanted} as targets, and data.name = {data!r} has "
                f"{has}; 'auto' takes the data set's own task, {task!r}."
            )
        return name


TASKS = Tasks("task", TaskProperties, gives=2)


@TASKS.add
def auto(model: Any, batch: Batch, /) -> "Tensor":
    """The task of the data set: one of the others."""
    raise NotImplementedError("the data set names the task that is called in its place")


@TASKS.add(targets="classes", answers=True)
def classification(model: Any, batch: Batch, /) -> "tuple[Tensor, Values]":
    """Cross-entropy of classes; the value is the accuracy."""
    return _answered(model(batch.inputs), batch.targets)


@TASKS.add(targets="tokens", answers=True)
def next_token(model: Any, batch: Batch, /) -> "tuple[Tensor, Values]":
    """Cross-entropy of the next token at every place; the value is the accuracy over them."""
    return _answered(model(batch.inputs), batch.targets)


@TASKS.add(targets="numbers")
def regression(model: Any, batch: Batch, /) -> "tuple[Tensor, Values]":
    """Mean squared error; the value, mae, is the mean absolute error."""
    from torch.nn import functional

    outputs = model(batch.inputs).float().reshape(batch.targets.shape)
    error = functional.l1_loss(outputs, batch.targets)
    return functional.mse_loss(outputs, batch.targets), {"mae": error}


def _answered(scores: "Tensor", targets: "Tensor") -> "tuple[Tensor, Values]":
    from torch.nn import functional

    flat, wanted = scores.float().flatten(0, -2), targets.flatten()
    loss = functional.cross_entropy(flat, wanted, ignore_index=IGNORED)
    counted = wanted != IGNORED
    right = ((flat.argmax(-1) == wanted) & counted).sum() / counted.sum()
    return loss, {"accuracy": right}
