"""Rounds of each algorithm with the dense mixing matrix, in numpy, on devices that seek a point.

Device i steps by ``s(x) = RATE (x - b_i)``. Shapes: N devices, P numbers, models ``(N, P)``.
"""

import math

import numpy as np

RATE = 0.3
SIZE = 23


def points(devices, key=0):
    """What is drawn for N devices, ``(N, P)``: 0 the models to begin with, 1 what they seek."""
    return np.random.default_rng(key).normal(size=(devices, SIZE))


def step(models, goals):
    """How far devices step, ``(N, P)``."""
    return RATE * (models - goals)


def dsgd(mixing, rounds, goals):
    x = points(mixing.devices)
    for r in range(rounds):
        x = mixing.matrix(r) @ (x - step(x, goals))
    return x


def consensus(mixing, rounds, goals):
    x = points(mixing.devices)
    for r in range(rounds):
        x = mixing.matrix(r) @ x - step(x, goals)
    return x


def quasi_global_momentum(mixing, rounds, goals, beta=0.9, mu=0.9):
    x = points(mixing.devices)
    m = np.zeros_like(x)
    for r in range(rounds):
        z = mixing.matrix(r) @ (x - step(x, goals) - beta * m)
        x, m = z, mu * m + (1 - mu) * (x - z)
    return x


def exact_diffusion(mixing, rounds, goals):
    x = points(mixing.devices)
    before = x
    for r in range(rounds):
        adapted = x - step(x, goals)
        x, before = mixing.matrix(r) @ (adapted + x - before), adapted
    return x


def gradient_tracking(mixing, rounds, goals):
    x = points(mixing.devices)
    y = before = np.zeros_like(x)
    for r in range(rounds):
        s = step(x, goals)
        y, before = y + s - before, s
        x, y = mixing.matrix(r) @ (x - y), mixing.matrix(r) @ y
    return x


def push_sum(mixing, rounds, goals):
    x, mass = points(mixing.devices), np.ones((mixing.devices, 1))
    for r in range(rounds):
        sums, mass = mixing.matrix(r) @ (mass * x - step(x, goals)), mixing.matrix(r) @ mass
        x = sums / mass
    return x


def choco(mixing, rounds, goals, share=0.1, gamma=0.3):
    x = points(mixing.devices)
    known = np.zeros_like(x)
    for r in range(rounds):
        y = x - step(x, goals)
        left = y - known
        chosen = np.argsort(-np.abs(left), axis=1)[:, : math.ceil(share * SIZE)]
        np.put_along_axis(known, chosen, np.take_along_axis(y, chosen, 1), 1)
        x = y + gamma * (mixing.matrix(r) @ known - known)
    return x


def relay_sum(mixing, rounds, goals):
    x, n = points(mixing.devices), mixing.devices
    near = {i: sorted(mixing.graph.predecessors(i)) for i in range(n)}
    # A message has a sum, and behind it the number of models in it.
    said = {(i, j): np.zeros(SIZE + 1) for i in near for j in near[i]}
    for _ in range(rounds):
        y = np.hstack([x - step(x, goals), np.ones((n, 1))])
        said = {(i, j): y[i] + sum(said[k, i] for k in near[i] if k != j) for i, j in said}
        heard = np.array([sum((said[j, i] for j in near[i]), np.zeros(SIZE + 1)) for i in near])
        x = (heard[:, :-1] + (n - heard[:, -1:]) * y[:, :-1]) / n
    return x


def asynchronous(mixing, rounds, goals):
    x = points(mixing.devices)
    pending, left = np.zeros_like(x), np.zeros(mixing.devices)
    for r in range(rounds):
        for i in mixing.learners(r):
            pending[i] = step(x, goals)[i]
            ahead = (q for q in range(r + 1, r + 10) if i in mixing.learners(q))
            left[i] = next(ahead) - r
        x = mixing.matrix(r) @ x
        left -= 1
        x[left == 0] -= pending[left == 0]
    return x
