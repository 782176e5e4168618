"""Push-sum: the mean of all over links that need not go both ways."""

from mpidl.algorithms.base import ALGORITHMS, Algorithm, State


@ALGORITHMS.add
def push_sum() -> Algorithm:
    """Senders share out vector and mass; the parameters are the vector over the mass.

    ``u_i <- sum_j A[i, j] m_j (x_j - s(x_j))``, ``m_i <- sum_j A[i, j] m_j``, ``x_i = u_i / m_i``.
    The columns of A sum to 1: column j is the row that the strategy gives device j over those that
    hear it. So no mass is lost, whatever the graph, and all agree on the plain mean of all, where
    every device reaches every other. The mass is recorded. Sources: Kempe, Dobra and Gehrke,
    2003; Nedic and Olshevsky, 2016, arXiv 1406.2075; Assran et al., 2019, arXiv 1811.10792.
    """

    def setup(state: State) -> None:
        state.tail.fill_(1)

    def give(state: State) -> None:
        state.x.mul_(state.tail)

    def take(state: State) -> None:
        state.x.div_(state.tail)
        state.told["mass"] = float(state.tail)

    return Algorithm(
        setup=setup,
        give=give,
        take=take,
        travels=lambda lengths: lengths.size + 1,
        columns=True,
        tells=("mass",),
    )
