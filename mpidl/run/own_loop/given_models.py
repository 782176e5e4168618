"""Arguments of Gossip that are models: modules, parameters, tensors and arrays."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from mpidl.config.faults import Fault, shown
from mpidl.devices.flat import FlatTensors, floating_buffers
from mpidl.run.own_loop.models import Copied, OwnModel, Viewed

FORMS = (
    "must be a torch module, a tensor or numpy array, a list of these, or {device: model} with "
    "these as models"
)
COMPILED = "_orig_mod."
"""The part that ``torch.compile`` adds to the names of a module's parameters."""


def by_device(model: object, rank: int) -> dict[int, object]:
    """The models of this rank by device, in ascending order; the device of one model is its rank.

    Raises:
        Fault: If devices are not numbers.
    """
    if not isinstance(model, Mapping):
        return {rank: model}
    if not model:
        raise Fault("model = {}: must have a model for at least one device on every rank.")
    for device in model:
        if not isinstance(device, int | np.integer) or isinstance(device, bool) or device < 0:
            raise Fault(f"model has the device {shown(device)}: must be a number from 0.")
    return {int(device): model[device] for device in sorted(model)}


def own_model(model: object, only: Sequence[str] | None) -> OwnModel:
    """A model of the caller's, as gossip takes it.

    Args:
        model: A module; a tensor or array; or several of these in an iterable.
        only: Patterns for the names that travel, as in ``fnmatch``; None for all.

    Raises:
        Fault: If it is something else, or does not fit in one vector.
    """
    if isinstance(model, nn.Module):
        return _of_module(model, only)
    if only is not None:
        raise Fault("only: names parameters of a module, and tensors and arrays have no names.")
    if isinstance(model, Tensor | np.ndarray):
        model = [model]
    if isinstance(model, str | bytes) or not isinstance(model, Iterable):
        raise Fault(f"model = {shown(type(model))}: {FORMS}.")
    tensors = {f"tensor {at}": _tensor(item) for at, item in enumerate(model)}
    if tensors and all(isinstance(tensor, nn.Parameter) for tensor in tensors.values()):
        return Viewed(FlatTensors("The list", tensors, {}), lambda: None)
    return Copied(tensors)


def _tensor(item: object) -> Tensor:
    if isinstance(item, np.ndarray):
        if not item.flags.writeable or not item.dtype.isnative or min(item.strides, default=0) < 0:
            raise Fault(
                "The array is read-only, of foreign byte order or with a negative stride: must be "
                "one that can be changed in place, such as its copy()."
            )
        if item.dtype.kind != "f" or item.dtype.itemsize > 8:
            raise Fault(f"The array has numbers of {item.dtype}: must be float16, 32 or 64.")
        return torch.from_numpy(item)
    if isinstance(item, Tensor):
        return item
    raise Fault(f"model has {shown(type(item))}: {FORMS}.")


def _of_module(module: nn.Module, only: Sequence[str] | None) -> Viewed:
    kind = type(getattr(module, "_orig_mod", module)).__name__
    parameters = dict(module.named_parameters())
    for name, parameter in parameters.items():
        if isinstance(parameter, UninitializedParameter):
            raise Fault(f"{kind}: {name} has no shape yet; give it a batch before.")
    learned: dict[str, Tensor] = {n: p for n, p in parameters.items() if p.requires_grad}
    if parameters and not learned:
        raise Fault(f"{kind} has frozen parameters only: must have some that learn.")
    buffers = floating_buffers(module)
    if only is not None:
        known = [name.replace(COMPILED, "") for name in (*learned, *buffers)]
        _check_patterns(only, known)
        learned, buffers = _chosen(learned, only), _chosen(buffers, only)
        if not learned:
            raise Fault(f"only = {shown(list(only))}: matches buffers, and no parameter.")
    frozen = {name: p for name, p in parameters.items() if not p.requires_grad}
    return Viewed(FlatTensors(kind, learned, buffers), _Watch(module, learned, buffers, frozen))


def _chosen(tensors: Mapping[str, Tensor], only: Sequence[str]) -> dict[str, Tensor]:
    return {n: t for n, t in tensors.items() if _matches(n.replace(COMPILED, ""), only)}


def _matches(name: str, only: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in only)


def _check_patterns(only: Sequence[str], names: Sequence[str]) -> None:
    for pattern in only:
        if not any(fnmatchcase(name, pattern) for name in names):
            listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            raise Fault(
                f"only = {shown(pattern)}: no parameter that learns has such a name; they have "
                f"{listed}."
            )


class _Watch:
    """Watches that a module keeps the tensors that travel; a call costs microseconds."""

    def __init__(
        self,
        module: nn.Module,
        learned: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        frozen: Mapping[str, Tensor],
    ) -> None:
        self._frozen = frozen
        self._places: dict[str, tuple[Mapping[str, object], str, object]] = {}
        for group, tensors in (("_parameters", learned), ("_buffers", buffers)):
            for name, tensor in tensors.items():
                owner = module
                path, _, last = name.rpartition(".")
                walked = ""
                for part in path.split(".") if path else ():
                    walked = f"{walked}.{part}" if walked else part
                    child = owner._modules[part]
                    assert child is not None
                    self._places[walked] = owner._modules, part, child
                    owner = child
                self._places[name] = getattr(owner, group), last, tensor
        self._watched = [(where.get, key, kept) for where, key, kept in self._places.values()]

    def __call__(self) -> None:
        """Raise a fault if a tensor or a module that holds one was replaced, or one has thawed."""
        # Lists are faster than generators, and most calls find nothing.
        changed = [kept for get, key, kept in self._watched if get(key) is not kept]
        if not changed and not [one for one in self._frozen.values() if one.requires_grad]:
            return
        for name, (where, key, kept) in self._places.items():
            if where.get(key) is not kept:
                raise Fault(
                    f"{name.replace(COMPILED, '')} was replaced by another: gossip mixes those "
                    "that the model had at the start; make a new Gossip."
                )
        for name, parameter in self._frozen.items():
            if parameter.requires_grad:
                raise Fault(
                    f"{name.replace(COMPILED, '')} was frozen when Gossip was made, and learns "
                    "now: make a new Gossip."
                )
