"""Registry of models, and the shapes of their inputs and outputs."""

from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, TypeVar

from pydantic import Field

from mpidl.config.faults import Fault, shown
from mpidl.config.registry import Properties, Registry

Width = Annotated[int, Field(ge=1, le=1_000_000)]
Depth = Annotated[int, Field(ge=1, le=1000)]

T = TypeVar("T")


@dataclass(frozen=True)
class Shape:
    """Shape of one sample, and number of outputs of a model.

    Attributes:
        inputs: ``(channels, height, width)`` of an image, or ``(L,)`` of a sequence of tokens.
        outputs: ``C`` classes, or the number of different tokens.
        vocabulary: The number of different tokens; 0 if samples are not tokens.
    """

    inputs: tuple[int, ...]
    outputs: int
    vocabulary: int = 0

    def numbers(self, model: str) -> int:
        """The number of values in one sample, for a model that takes it flat.

        Raises:
            Fault: If samples are tokens.
        """
        if self.vocabulary:
            raise self._fault(model, "images")
        return self._answer(prod(self.inputs))

    def image(self, model: str, least: int = 1, multiple: int = 1) -> tuple[int, int, int]:
        """Channels, height and width, for a model that takes images.

        Args:
            model: The name of the model, for the message.
            least: The smallest height and width that the model can take, in pixels.
            multiple: The number of which height and width must be multiples, in pixels.

        Raises:
            Fault: If samples are not images, are too small, or are not multiples.
        """
        if self.vocabulary or len(self.inputs) != 3:
            raise self._fault(model, "images")
        channels, height, width = self.inputs
        if min(height, width) < least:
            raise self._fault(model, f"images of at least {least}x{least} pixels")
        if height % multiple or width % multiple:
            raise self._fault(model, f"images with sides that are multiples of {multiple} pixels")
        return self._answer((channels, height, width))

    def tokens(self, model: str) -> int:
        """The length ``L`` of a sequence, for a model that predicts the next token.

        Raises:
            Fault: If samples are not tokens, or if the outputs are not tokens.
        """
        if not self.vocabulary or len(self.inputs) != 1 or self.outputs != self.vocabulary:
            raise self._fault(model, "sequences of tokens, of which it predicts the next")
        return self._answer(self.inputs[0])

    def _answer(self, answer: T) -> T:
        return answer

    def _fault(self, model: str, need: str) -> Fault:
        size = "x".join(map(str, self.inputs))
        kind = "images" if len(self.inputs) == 3 else "samples"
        samples = f"sequences of {size} tokens" if self.vocabulary else f"{kind} of {size}"
        task = f" and {self.outputs} classes" if self.vocabulary not in (0, self.outputs) else ""
        return Fault(f"model.name = {model!r}: needs {need}; the data set has {samples}{task}.")


class Fits(Exception):  # noqa: N818
    """Raised in place of building a model, if the model takes the data."""


class Trial(Shape):
    """A shape that ends a builder by :class:`Fits` when its model is known to take the data."""

    def _answer(self, answer: T) -> T:
        raise Fits


class Models(Registry[Properties]):
    """Builders ``(shape, /, **parameters) -> nn.Module``; the caller seeds torch's generator.

    A builder checks its parameters, then asks its shape, then imports torch.
    """

    def fit(self, section: Any, shape: Shape) -> None:
        """Check without torch that the model which ``section.name`` names takes the data.

        Raises:
            Fault: If it does not.
        """
        with suppress(Fits):
            self.build(section, Trial(shape.inputs, shape.outputs, shape.vocabulary))


def _checked(name: str, model: Any, *_: object) -> Any:
    """What the builder of a model returned.

    Raises:
        Fault: If it is no module of torch.
    """
    from torch import nn

    if isinstance(model, nn.Module):
        return model
    raise Fault(f"model.name = {name!r}: gives {shown(model)}: must be a torch.nn.Module.")


MODELS = Models("model", Properties, gives=1, check=_checked)


def divide(width: int, heads: int) -> None:
    """Check that attention heads can share a width.

    Raises:
        Fault: If they cannot.
    """
    if width % heads:
        raise Fault(f"model.heads = {heads}: must divide model.width, which is {width}.")
