"""Warnings about runs in which an algorithm or a strategy does not do what it is known for."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mpidl.components import graphs
from mpidl.components.graphs import prediction
from mpidl.components.strategies import STRATEGIES
from mpidl.plan import Plan

Array = npt.NDArray[np.float64]

SEEN = 20
"""Most rounds of a changing W that are checked."""

EVEN = 1e-9
"""Difference up to which sums and masses count as equal."""

LISTED = 5
"""Most classes that a warning lists."""

LITTLE = 0.5
"""Mass, of which the mean is 1, below which a device's steps become too long for its rate."""


def of(plan: Plan) -> list[str]:
    """All warnings about a run, a line each."""
    return [*_liars(plan), *_corrected(plan), *_masses(plan)]


def crowded(plan: Plan, sharing: int) -> list[str]:
    """A warning if ranks wait for each other at an accelerator.

    Args:
        plan: The plan of the run.
        sharing: The most ranks that compute on one.
    """
    if sharing < 2:
        return []
    condition = " where training.batched is 'auto'" if plan.file.training.batched == "no" else ""
    return [
        f"{sharing} ranks share an accelerator, which serves them in turn: fewer ranks are faster, "
        f"one for each accelerator, as a rank trains its devices at once{condition}"
    ]


def untaught(names: Sequence[str], classes: int) -> list[str]:
    """A warning if the test set has classes that the training set lacks.

    Args:
        names: Names of these classes.
        classes: The number of all classes.
    """
    if not names:
        return []
    listed = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
    one = len(names) == 1
    begin = f"class {listed} is" if one else f"{len(names)} classes ({listed}) are"
    return [
        f"{begin} in the test set and not in the training set: models have outputs for {classes} "
        f"classes, and cannot learn {'this one' if one else 'these'}"
    ]


def _corrected(plan: Plan) -> list[str]:
    """Warnings if W keeps an algorithm from correcting the effect of different data."""
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


def _uneven(name: str, effect: str) -> str:
    return (
        f"{name} needs a doubly stochastic W, which this W is not: {effect}; W of sinkhorn is, and "
        "W of metropolis_hastings if links go both ways"
    )


def _growth(matrix: Array) -> float:
    """The largest growth factor per round in ``x <- W (2 x - x_before)``, apart from the mean.

    A mode of W with eigenvalue l grows by the roots of ``z^2 - 2 l z + l``.
    """
    values = np.linalg.eigvals(matrix).astype(complex)
    values = values[np.abs(values - 1) > EVEN]
    root = np.sqrt(values * values - values)
    return float(np.abs([values + root, values - root]).max(initial=0.0))


def _masses(plan: Plan) -> list[str]:
    """Lines about the masses of devices in the long run, if senders share out masses."""
    if not plan.algorithm.columns or not plan.steady or not plan.dense:
        return []
    name, mass = plan.file.algorithm.name, plan.devices * graphs.stationary(plan.matrix().T)
    # The first of those that are equal up to rounding, so that all machines print the same.
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
    """Warnings about neighborhoods too small for a robust strategy, or with too many attackers."""
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
    """Number of devices whose neighborhoods have fewer members."""
    return sum(1 + count < members for count in _heard(plan, range(plan.devices)))


def _heard(plan: Plan, devices: Sequence[int]) -> list[int]:
    """For each device the number of its in-neighbors among some devices, if no link fails."""
    links = plan.round_graph(0) if plan.changing else plan.open_graph
    chosen = {*devices}
    return [len(chosen.intersection(links.predecessors(device))) for device in links]


def _of(count: int, plan: Plan) -> str:
    return f"{count} of {plan.devices} devices {'has' if count == 1 else 'have'}"


def _when(plan: Plan) -> str:
    return " in the first round" if plan.changing else ""
