"""Packed state: nested dictionaries and lists of tensors and numbers as one vector.

Reading runs no code, whatever the bytes are: a JSON text says where each tensor lies behind it.
"""

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

LENGTH = 8
"""Bytes in front that hold the length of the JSON text; the whole is a multiple of so many."""

PLAIN = (bool, int, float, str, type(None))


class PackingError(TypeError):
    """Something that is no tensor, number, text or collection of these; says its type."""


def pack(state: Any) -> "Tensor":
    """The bytes of a state, ``(n,)`` of int64, in host memory.

    Raises:
        PackingError: If something in it cannot be packed.
    """
    import torch

    tensors: list[Tensor] = []
    text = json.dumps(_written(state, tensors, [0])).encode()
    parts = [np.frombuffer(len(text).to_bytes(LENGTH, "little") + text, np.uint8)]
    parts += [tensor.reshape(-1).view(torch.uint8).numpy() for tensor in tensors]
    parts.append(np.zeros(-sum(map(len, parts)) % LENGTH, np.uint8))
    return torch.from_numpy(np.concatenate(parts).view(np.int64))


def unpack(packed: "Tensor") -> Any:
    """The state that :func:`pack` packed, with tensors in host memory."""
    content = packed.numpy().tobytes()
    start = LENGTH + int.from_bytes(content[:LENGTH], "little")
    return _read(json.loads(content[LENGTH:start]), bytearray(content[start:]))


def _written(value: Any, tensors: "list[Tensor]", ends: list[int]) -> Any:
    """A value as JSON takes it; tensors are added to a list, and where each ends to another."""
    import torch

    if isinstance(value, torch.Tensor):
        start = ends[-1]
        tensors.append(value.detach().to("cpu").contiguous())
        ends.append(start + tensors[-1].nbytes)
        return {"tensor": [str(value.dtype).removeprefix("torch."), start, list(value.shape)]}
    if type(value) in PLAIN:
        return value
    if type(value) in (list, tuple):
        return {type(value).__name__: [_written(one, tensors, ends) for one in value]}
    if isinstance(value, dict) and all(type(key) in PLAIN for key in value):
        return {"dict": [[key, _written(one, tensors, ends)] for key, one in value.items()]}
    raise PackingError(type(value).__name__)


def _read(written: Any, content: bytearray) -> Any:
    import torch

    if not isinstance(written, dict):
        return written
    [(kind, value)] = written.items()
    if kind == "dict":
        return {key: _read(one, content) for key, one in value}
    if kind != "tensor":
        return (list if kind == "list" else tuple)(_read(one, content) for one in value)
    name, start, shape = value
    dtype, count = getattr(torch, name), int(np.prod(shape))
    if not count:
        return torch.empty(shape, dtype=dtype)
    # A copy, as bytes may lie at any address.
    part = content[start : start + count * dtype.itemsize]
    return torch.frombuffer(part, dtype=dtype).view(shape)
