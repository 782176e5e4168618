"""Agents that agree on a point by turns of their own step and of gossip, with numpy alone.

Each agent wants to be near its own target; together they find the mean of all targets.
mpiexec -n 4 before python examples/numpy_agent.py starts four of them.
"""

import numpy as np

from mpidl import Gossip


def main() -> None:
    """Step and mix, and say how far all are apart."""
    position = np.zeros(2)
    with Gossip(position, "ring", algorithm="exact_diffusion") as gossip:
        target = np.random.default_rng(gossip.rank).normal(size=2)
        for _ in range(200):
            position += 0.2 * (target - position)
            gossip.mix()
        apart = gossip.distance()
    print(f"agent {gossip.rank} wants {target}, is at {position}, {apart:.1e} from the mean")


if __name__ == "__main__":
    main()
