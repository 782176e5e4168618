"""Compressed gossip: messages are short, and both ends keep the vector that they add up to."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import Field

from mpidl.components.algorithms.base import ALGORITHMS, Algorithm, Lengths, Messages, State
from mpidl.config import seeds

if TYPE_CHECKING:
    from torch import Tensor

Name = Literal["top_k", "random_k", "sign", "int8", "bfloat16"]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]

BLOCK = 1024
"""Numbers of a vector that share a scale in 8 bits."""


class Compressor(Protocol):
    """Makes a short message from a vector ``(P,)``, and an approximate vector from the message.

    ``key`` has seed, sender and round, for draws that both ends make.
    """

    def numbers(self, size: int, itemsize: int) -> int:
        """M, the length of a message in numbers of ``itemsize`` bytes."""

    def write(self, vector: "Tensor", key: tuple[int, ...], message: "Tensor") -> None:
        """Put a vector ``(P,)`` into a message ``(M,)``."""

    def add(self, message: "Tensor", key: tuple[int, ...], to: "Tensor") -> None:
        """Add the content of a message ``(M,)`` to a vector ``(P,)``."""


@ALGORITHMS.add(color="#7c38fa", marker="P", order=60)
def choco(compressor: Name = "top_k", share: Share = 0.1, gamma: Share = 0.3) -> Algorithm:
    """CHOCO-SGD: ``y = x - s(x)``, ``x <- y + gamma sum_j W[i, j] (h_j - h_i)``, compressed.

    ``h_j`` is the vector that all readers of device j keep for it: it grows by ``Q(y_j - h_j)`` in
    each round, and only this travels; the part that Q leaves out remains for later rounds. Q is
    ``top_k`` or ``random_k`` (``share`` of the numbers; random ones travel without their places),
    ``sign`` (a bit each, and the mean modulus), ``int8`` or ``bfloat16``. The mean is kept if the
    columns of W sum to 1. Batch-norm statistics travel uncompressed, and are mixed by W, as a
    compressed variance could become negative. Memory for one vector for each neighbor. Source:
    Koloskova, Stich and Jaggi, 2019, arXiv 1902.00340, algorithm 2.
    """
    q = COMPRESSORS[compressor](share)

    def known(state: State) -> "Tensor":
        return state.kept["known"].view(-1, state.learned)

    def give(state: State) -> None:
        message, statistics = parts(state, state.vector)
        q.write(state.w - known(state)[0], (state.seed, state.number, state.round), message)
        statistics.copy_(state.x[state.learned :])

    def parts(state: State, vector: "Tensor") -> tuple["Tensor", "Tensor"]:
        """The compressed part of a message, and the statistics after it."""
        end = len(vector) - (len(state.x) - state.learned)
        return vector[:end], vector[end:]

    def read(state: State, messages: Messages) -> None:
        memory, statistics = known(state), state.x[state.learned :].zero_()
        weights = messages.weights.tolist()
        rows = zip(messages.members, messages.vectors, weights, memory, strict=True)
        for member, vector, weight, row in rows:
            message, theirs = parts(state, vector)
            q.add(message, (state.seed, member, state.round), row)
            statistics.add_(theirs, alpha=weight)
        for row, weight in zip(memory[1:], weights[1:], strict=True):
            state.w.add_(row - memory[0], alpha=gamma * weight)

    def keeps(lengths: Lengths) -> Mapping[str, int]:
        return {"known": lengths.learned * len(lengths.members)}

    def travels(lengths: Lengths) -> int:
        statistics = lengths.size - lengths.learned
        return q.numbers(lengths.learned, lengths.itemsize) + statistics

    return Algorithm(give=give, read=read, keeps=keeps, travels=travels, needs=("every message",))


@dataclass(frozen=True)
class TopK:
    """The numbers of largest modulus, with their places."""

    share: float

    def numbers(self, size: int, itemsize: int) -> int:
        """The numbers, and places of 4 bytes."""
        return self._count(size) + _words(4 * self._count(size), itemsize)

    def _count(self, size: int) -> int:
        return math.ceil(self.share * size)

    def write(self, vector: "Tensor", key: tuple[int, ...], message: "Tensor") -> None:
        """Numbers, then places."""
        import torch

        count = self._count(len(vector))
        places = vector.abs().topk(count).indices
        message[:count] = vector[places]
        self._places(message, count).copy_(places.to(torch.int32).view(torch.uint8))

    def add(self, message: "Tensor", key: tuple[int, ...], to: "Tensor") -> None:
        """Each number to its place."""
        import torch

        count = self._count(len(to))
        places = self._places(message, count).clone().view(torch.int32)
        to.index_add_(0, places, message[:count])

    def _places(self, message: "Tensor", count: int) -> "Tensor":
        """The bytes of the places, which need not begin where a place of 16-bit numbers could."""
        import torch

        return message[count:].view(torch.uint8)[: 4 * count]


@dataclass(frozen=True)
class RandomK:
    """Numbers of random places, which both ends draw from the seed."""

    share: float

    def numbers(self, size: int, itemsize: int) -> int:
        """The numbers."""
        return math.ceil(self.share * size)

    def write(self, vector: "Tensor", key: tuple[int, ...], message: "Tensor") -> None:
        """Numbers in ascending places."""
        message.copy_(vector[self._places(vector, key)])

    def add(self, message: "Tensor", key: tuple[int, ...], to: "Tensor") -> None:
        """Each number to its place."""
        to.index_add_(0, self._places(to, key), message)

    def _places(self, vector: "Tensor", key: tuple[int, ...]) -> "Tensor":
        import torch

        seed, *rest = key
        drawn = seeds.stream(seed, "compression", *rest).choice(
            len(vector), math.ceil(self.share * len(vector)), replace=False, shuffle=False
        )
        drawn.sort()
        return torch.from_numpy(drawn).to(vector.device)


class Sign:
    """Signs, a bit each, times the mean modulus."""

    def numbers(self, size: int, itemsize: int) -> int:
        """The mean modulus, and the bits."""
        return 1 + _words(-(-size // 8), itemsize)

    def write(self, vector: "Tensor", key: tuple[int, ...], message: "Tensor") -> None:
        """The mean modulus, then eight signs in a byte."""
        import torch

        message[0] = vector.abs().mean()
        bits = torch.zeros(-(-len(vector) // 8) * 8, dtype=torch.uint8, device=vector.device)
        bits[: len(vector)] = vector >= 0
        packed = (bits.view(-1, 8) << _eight(vector)).sum(dim=1, dtype=torch.uint8)
        message[1:].view(torch.uint8)[: len(packed)] = packed

    def add(self, message: "Tensor", key: tuple[int, ...], to: "Tensor") -> None:
        """The mean modulus with each sign."""
        import torch

        packed = message[1:].view(torch.uint8)[: -(-len(to) // 8)]
        bits = (packed[:, None] >> _eight(to)) & 1
        signs = bits.view(-1)[: len(to)].to(to.dtype).mul_(2).sub_(1)
        to.add_(signs.mul_(message[0]))


class Int8:
    """Whole numbers from -127 to 127, each block scaled by its largest modulus."""

    def numbers(self, size: int, itemsize: int) -> int:
        """A scale for each block, and a byte for each number."""
        return -(-size // BLOCK) + _words(size, itemsize)

    def write(self, vector: "Tensor", key: tuple[int, ...], message: "Tensor") -> None:
        """Scales, then bytes."""
        import torch

        blocks = -(-len(vector) // BLOCK)
        padded = vector.new_zeros(blocks, BLOCK)
        padded.view(-1)[: len(vector)] = vector
        scales = padded.abs().amax(dim=1).div_(127)
        message[:blocks] = scales
        rounded = (padded / scales.clamp_min(torch.finfo(vector.dtype).tiny)[:, None]).round_()
        message[blocks:].view(torch.int8)[: len(vector)] = rounded.view(-1)[: len(vector)]

    def add(self, message: "Tensor", key: tuple[int, ...], to: "Tensor") -> None:
        """Each byte times the scale of its block."""
        import torch

        blocks = -(-len(to) // BLOCK)
        padded = to.new_zeros(blocks, BLOCK)
        padded.view(-1)[: len(to)] = message[blocks:].view(torch.int8)[: len(to)]
        to.add_(padded.mul_(message[:blocks, None]).view(-1)[: len(to)])


class BFloat16:
    """The numbers with eight binary digits."""

    def numbers(self, size: int, itemsize: int) -> int:
        """Two bytes for each number."""
        return _words(2 * size, itemsize)

    def write(self, vector: "Tensor", key: tuple[int, ...], message: "Tensor") -> None:
        """All numbers."""
        import torch

        message.view(torch.bfloat16)[: len(vector)] = vector

    def add(self, message: "Tensor", key: tuple[int, ...], to: "Tensor") -> None:
        """All numbers."""
        import torch

        to.add_(message.view(torch.bfloat16)[: len(to)])


COMPRESSORS: dict[str, Callable[[float], Compressor]] = {
    "top_k": TopK,
    "random_k": RandomK,
    "sign": lambda share: Sign(),
    "int8": lambda share: Int8(),
    "bfloat16": lambda share: BFloat16(),
}
"""Makers of compressors, by name in a run file, from the share of numbers that travels."""


def _words(bytes_: int, itemsize: int) -> int:
    return -(-bytes_ // itemsize)


def _eight(like: "Tensor") -> "Tensor":
    import torch

    return torch.arange(8, dtype=torch.uint8, device=like.device)
