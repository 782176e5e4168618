"""Rounds of a backend, and the same rounds with the dense mixing matrix, in numpy."""

from itertools import chain
from types import SimpleNamespace

import numpy as np
import torch

from mpidl.components import strategies
from mpidl.devices import gossip
from mpidl.run import rounds


def start(devices, size):
    """Vectors to begin with, ``(N, P)``."""
    return np.random.default_rng(7).normal(size=(devices, size)).astype(np.float32)


def whole(vector):
    """A model whose parameters are one row."""
    return [vector[None]]


def once(exchange, made, round_):
    """One round by the plan's mixing weights, which may follow from vectors."""
    own = list(exchange.vectors)
    exchange.arrive({} if made.looks else made.mixing_weights(round_, own), made.wanted(round_))
    exchange.share()
    if made.looks:
        devices = dict.fromkeys(own, SimpleNamespace(parameters=whole))
        look = gossip.opened(exchange.inboxes(), devices)
        exchange.weigh(made.mixing_weights(round_, own, look))
    exchange.mix()


def mixed(exchange, made, size, turns):
    """This rank's vectors ``(P,)`` after some rounds."""
    for device, vector in exchange.vectors.items():
        vector.copy_(torch.from_numpy(start(made.devices, size)[device]))
    for round_ in range(turns):
        once(exchange, made, round_)
    return {d: vector.double().numpy().copy() for d, vector in exchange.vectors.items()}


def dense(made, size, turns):
    """All vectors ``(N, P)`` after the same rounds."""
    x = torch.from_numpy(start(made.devices, size).astype(np.float64))

    def look(view):
        return strategies.Inbox([x[j] for j in view.members], whole)

    for round_ in range(turns):
        x = torch.from_numpy(made.matrix(round_, look if made.looks else None)) @ x
    return x.numpy()


def everyone(comm, own):
    """The vectors of all devices ``(N, P)`` from each rank's ``{device: (P,)}``."""
    found = dict(chain.from_iterable(part.items() for part in comm.allgather(own)))
    return np.array([found[device] for device in sorted(found)], float)


def followed(comm, made, monkeypatch):
    """All vectors after training and after mixing, round by round, ``(R, N, P)`` each."""
    trained, mixed = [], []

    def seen():
        return {i: vector.numpy().copy() for i, vector in made.gossip.exchange.vectors.items()}

    give = made.gossip.give
    monkeypatch.setattr(made.gossip, "give", lambda *who: (give(*who), trained.append(seen())))
    rounds.run_rounds(made, lambda *_: mixed.append(seen()), lambda _: None)
    return [[everyone(comm, own) for own in states] for states in (trained, mixed)]
