"""Warnings: where an algorithm or a rule does not do what it is known for."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mpidl.components import graphs
from mpidl.components.graphs import prediction
from mpidl.components.strategies import STRATEGIES
from mpidl.plan import Plan

Array = npt.NDArray[np.float64]

SEEN = 20
"""Rounds of a W that changes that are looked at."""

EVEN = 1e-9
"""By how much sums and masses may differ that count as equal."""

LITTLE = 0.5
"""Mass, of which the mean is 1, below which a device's steps become too long for its rate."""


def of(plan: Plan) -> list[str]:
    """All that there is to beware of, a line each."""
    return [*_liars(plan), *_corrected(plan), *_masses(plan)]


def crowded(plan: Plan, sharing: int) -> list[str]:
    """Whether ranks wait for each other at an accelerator.

    Args:
        plan: What the run file says.
        sharing: The most ranks that compute on one.
    """
    if sharing < 2:
        return []
    how = " where training.batched is 'auto'" if plan.file.training.batched == "no" else ""
    return [
        f"{sharing} ranks share an accelerator, which serves them in turn: fewer ranks are faster, "
        f"one for each accelerator, as a rank trains its devices at once{how}"
    ]


def _corrected(plan: Plan) -> list[str]:
    """Whether W lets an algorithm correct what different data do."""
    name, algorithm = plan.file.algorithm.name, plan.algorithm
    if not algorithm.doubly or not (plan.looks or plan.devices <= prediction.CLOSE):
        return []
    if plan.looks:
        return [_uneven(name, "it need not lead to the optimum of all losses")]
    rounds = 1 if plan.steady else min(SEEN, plan.file.training.rounds)
    matrices = [plan.matrix(round_) for round_ in range(rounds)]
    lines = []
    if any(np.abs(matrix.sum(axis=0) - 1).max() > EVEN for matrix in matrices):
        weighted = "it leads to the optimum of losses weighted by influence, not of their mean"
        other = "it need not lead to the optimum of all losses"
        lines.append(_uneven(name, weighted if plan.steady else other))
    if algorithm.extrapolates and plan.steady and (growth := _growth(matrices[0])) > 1 - EVEN:
        lines.append(
            f"{name} does not settle by this W with a small training.lr: what it remembers "
            f"grows by a factor of up to {growth:.3g} a round; it needs a symmetric W, and with "
            "algorithm.lazy = 0 one whose eigenvalues are above -1/3"
        )
    return lines


def _uneven(name: str, what: str) -> str:
    return (
        f"{name} is made for a doubly stochastic W, which this is not: {what}; that of sinkhorn "
        "is, and of metropolis_hastings where links go both ways"
    )


def _growth(matrix: Array) -> float:
    """The factor a round of what grows fastest in ``x <- W (2 x - x_before)``, but for the mean.

    A mode of W with eigenvalue l grows by the roots of ``z^2 - 2 l z + l``.
    """
    values = np.linalg.eigvals(matrix).astype(complex)
    values = values[np.abs(values - 1) > EVEN]
    root = np.sqrt(values * values - values)
    return float(np.abs([values + root, values - root]).max(initial=0.0))


def _masses(plan: Plan) -> list[str]:
    """How much mass is left to the devices in the long run, where senders share out masses."""
    if not plan.algorithm.columns or not plan.steady or not plan.dense:
        return []
    name, mass = plan.file.algorithm.name, plan.devices * graphs.stationary(plan.matrix().T)
    # The first of those that are alike but for rounding, so that all machines say the same.
    least, most = int(np.argmax(mass < mass.min() + EVEN)), float(mass.max())
    if most - mass[least] < EVEN:
        return [f"{name}: all masses are 1 in the long run"]
    line = f"{name}: masses are {mass[least]:.3g} (device {least}) to {most:.3g} in the long run"
    if plan.algorithm.by_mass:
        return [f"{line}, by which steps count"]
    longest = f"up to {1 / mass[least]:.3g} times as long"
    if mass[least] < EVEN:
        longest = "they grow without bound"
    line += f", and steps are divided by them: {longest}"
    advice = "; take a smaller training.lr, or algorithm.steps = 'by_mass'"
    return [line + (advice if mass[least] < LITTLE else "")]


def _liars(plan: Plan) -> list[str]:
    """Where neighborhoods are too small for a rule against liars, or have too many of them."""
    settings = plan.file.strategy.model_dump()
    name, liars = settings["name"], settings.get("liars", 0)
    least = STRATEGIES.properties(name).least
    if least is None:
        return []
    needed, lines = least.times * liars + least.more, []
    if few := _smaller(plan, needed):
        what = f" for strategy.liars = {liars}" if least.times else ""
        lines.append(
            f"{name} needs neighborhoods of {needed}{what}, the device itself among them, and "
            f"{_of(few, plan)} smaller ones{_when(plan)}: there {least.otherwise}"
        )
    if least.times and (many := sum(count > liars for count in _heard(plan, plan.attackers))):
        more = f"more attackers in the neighborhood than strategy.liars = {liars}"
        lines.append(f"{_of(many, plan)} {more}")
    selected = settings.get("selected", 1)
    if selected > 1 and (all_in := _smaller(plan, selected + 1)):
        lines.append(
            f"{name} takes the mean of strategy.selected = {selected} members, and "
            f"{_of(all_in, plan)} no more{_when(plan)}: there that is the mean of all"
        )
    return lines


def _smaller(plan: Plan, members: int) -> int:
    """How many devices have neighborhoods of fewer members."""
    return sum(1 + heard < members for heard in _heard(plan, range(plan.devices)))


def _heard(plan: Plan, devices: Sequence[int]) -> list[int]:
    """How many of some devices each device hears, where no link fails."""
    links = plan.round_graph(0) if plan.changing else plan.open_graph
    chosen = {*devices}
    return [len(chosen.intersection(links.predecessors(device))) for device in links]


def _of(count: int, plan: Plan) -> str:
    return f"{count} of {plan.devices} devices {'has' if count == 1 else 'have'}"


def _when(plan: Plan) -> str:
    return " in the first round" if plan.changing else ""
