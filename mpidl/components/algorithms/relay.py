"""RelaySum: on a tree each model reaches every device, later, and with the same weight."""

from collections.abc import Mapping

from mpidl.components.algorithms.base import ALGORITHMS, Algorithm, Lengths, Messages, State


@ALGORITHMS.add(color="#64a100", marker="h", order=70)
def relay_sum() -> Algorithm:
    """RelaySum: a device relays the models of each neighbor to the others, so each counts once.

    ``m[i, j] = y_i + sum of m[k, i] of the round before over neighbors k but j`` goes from i to j,
    with y the trained models; ``x_i <- (sum_j m[j, i] + (N - sum_j c[j, i]) y_i) / N``, where c
    counts the models in m. So a model arrives, d links away, after d rounds with weight 1/N. One
    vector is enough for all neighbors, ``y_i + sum_k m[k, i]``: each neighbor subtracts its own
    part. Models that have not arrived yet are replaced by the own vector.
    The graph must be a tree, the strategy ``unweighted``. Memory for two vectors for each neighbor.
    Source: Vogels et al., 2021, arXiv 2110.04175, algorithm 1.
    """

    def give(state: State) -> None:
        heard = state.kept["heard"].view(-1, len(state.vector))
        state.vector[:-1] = state.x
        state.vector[-1] = 1
        state.vector.add_(heard.sum(dim=0))

    def read(state: State, messages: Messages) -> None:
        heard = state.kept["heard"].view(-1, len(state.vector))
        said = state.kept["said"].view(-1, len(state.vector))
        own, *others = messages.vectors
        for row, other in enumerate(others):
            arrived = other - said[row]
            said[row] = own - heard[row]
            heard[row] = arrived
        total = heard.sum(dim=0)
        missing = state.devices - float(total[-1])
        state.x.mul_(missing).add_(total[:-1]).div_(state.devices)

    def keeps(lengths: Lengths) -> Mapping[str, int]:
        length = (lengths.size + 1) * (len(lengths.members) - 1)
        return {"heard": length, "said": length}

    return Algorithm(
        give=give,
        read=read,
        keeps=keeps,
        travels=lambda lengths: lengths.size + 1,
        needs=("every message", "a tree", "equal weights"),
    )
