"""Building of gossip in one's own loop: plan, exchange and models, the same way on every rank."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from mpidl.config.own_code import Code
from mpidl.devices.gossip import LocalGossip
from mpidl.exchange import BACKENDS
from mpidl.plan import Mixing, codes
from mpidl.ranks import accelerators, world
from mpidl.ranks.node import Node
from mpidl.ranks.world import Comm
from mpidl.run import build as building
from mpidl.run import own_code
from mpidl.run.agreement import check_same
from mpidl.run.own_loop import agreement, given_settings
from mpidl.run.own_loop.given_settings import OwnSettings
from mpidl.run.own_loop.models import OwnModel


@dataclass(frozen=True)
class OwnParts:
    """The parts of gossip on one rank.

    Attributes:
        comm: All ranks.
        node: The ranks of this node.
        settings: The settings.
        models: The models of this rank by device, in ascending order.
        mixing: The plan.
        gossip: The exchange and mixing of these models.
        digest: Tells settings and models from others.
        codes: The code from outside of mpidl that settings name.
    """

    comm: Comm
    node: Node
    settings: OwnSettings
    models: Mapping[int, OwnModel]
    mixing: Mixing
    gossip: LocalGossip
    digest: str
    codes: Sequence[Code]


def build(
    comm: Comm,
    model: object,
    only: str | Sequence[str] | None,
    given: Mapping[str, Any],
    stack: ExitStack,
) -> OwnParts:
    """Collective. Build all parts; the stack frees them, and gives models memory of their own.

    Args:
        comm: All ranks.
        model: The caller's model or models.
        only: Patterns for the names that travel.
        given: The value of each of :data:`given_settings.KEYS`.
        stack: Where resources are entered.

    Raises:
        Fault: On every rank, if something does not fit.
    """
    models = agreement.models(comm, model, only)
    hosts, some = agreement.hosts(comm, list(models)), next(iter(models.values()))
    hardware = some.flat.device
    with world.agreed(comm):
        settings = given_settings.read(given, len(hosts))
        mixing = settings.mixing(hosts, given["rounds"])
        texts = given_settings.described(settings, mixing) | agreement.described(some)
        used = codes(settings.file)
    check_same(comm, texts)
    own_code.check_same(comm, used)
    accelerators.common_kind(comm, hardware.type)
    node = Node(comm)
    stack.enter_context(world.returned(node.close))
    wiring = building.wired(node, mixing, some, hardware, some.flat.dtype)
    with world.agreed(comm):
        exchange = BACKENDS.call(settings.file.exchange.backend, wiring)
    stack.enter_context(world.returned(exchange.close))
    for own in models.values():
        stack.callback(own.release)
    with torch.no_grad():
        gossip = LocalGossip(comm, mixing, models, exchange)
        gossip.begin(list(models))
    digest = hashlib.sha256(repr(sorted(texts.items())).encode()).hexdigest()
    return OwnParts(comm, node, settings, models, mixing, gossip, digest, used)
