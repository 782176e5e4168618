"""Push-sum: consensus on the mean of all, over links that need not go both ways."""

from typing import Literal

from mpidl.components.algorithms.base import ALGORITHMS, Algorithm, State


@ALGORITHMS.add(color="#23794e", marker="D", order=50)
def push_sum(steps: Literal["alike", "by_mass"] = "alike") -> Algorithm:
    """Senders share out vector and mass; a model is the vector over the mass.

    ``u_i <- sum_j A[i, j] (m_j x_j - s(x_j))``, ``m_i <- sum_j A[i, j] m_j``, ``x_i = u_i / m_i``.
    The columns of A sum to 1: column j has the strategy's weights of device j over its readers. So
    no mass is lost, whatever the graph; and if every device reaches every other, steps of all
    devices count the same in the consensus. A step moves a model by ``s / m``: if a strategy leaves
    some devices little mass, use a small rate, or ``steps = "by_mass"``, which moves a model by s
    and weighs the step by the mass. The mass is recorded. Sources: Kempe, Dobra and Gehrke, 2003;
    Nedic and Olshevsky, 2016, arXiv 1406.2075; Assran et al., 2019, arXiv 1811.10792, algorithm 1.
    """

    def setup(state: State) -> None:
        state.tail.fill_(1)

    def give(state: State) -> None:
        mass = state.tail
        if steps == "alike" and state.trained and state.start is not None:
            # The sum below, m (start - s) + (m - 1) s, is m start - s.
            state.left = (state.start - state.w).mul_(mass - 1)
        state.x.mul_(mass)
        if state.left is not None:
            state.w.add_(state.left)

    def take(state: State) -> None:
        state.x.div_(state.tail)
        state.series["mass"] = float(state.tail)

    return Algorithm(
        setup=setup,
        give=give,
        take=take,
        travels=lambda lengths: lengths.size + 1,
        starts=True,
        columns=True,
        by_mass=steps == "by_mass",
        series=("mass",),
        needs=("on time",),
    )
