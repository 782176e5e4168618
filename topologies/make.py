"""Write the 36 graphs of arXiv 2505.11760 beside this script.

Run once, with networkx 3.6.1: ``python topologies/make.py``. The files are the truth from then on;
running it again with a networkx that draws the same numbers, as those before 3.7, changes nothing.
"""

from collections.abc import Iterator
from pathlib import Path

import networkx as nx

PUBLISHED = {
    "ws_8_0": (7, 1, 0, 5),
    "ws_16_0": (9, 3, 0, 1),
    "ws_33_0": (20, 19, 16, 0),
    "ba_8_2_0": (0, 3, 4, 5),
    "ba_16_2_0": (3, 0, 4, 6),
    "ba_64_2_0": (3, 4, 0, 6),
    "ba_33_1_0": (0, 2, 5, 8),
    "ba_33_2_0": (3, 0, 4, 6),
    "ba_33_3_0": (0, 4, 5, 1),
    "sb_.009_0": (30, 27, 32, 23),
    "sb_.05_0": (32, 29, 15, 8),
    "sb_.09_0": (23, 25, 19, 28),
    "ws_8_1": (0, 5, 6, 3),
    "ws_16_1": (0, 6, 8, 10),
    "ws_33_1": (0, 31, 14, 32),
    "ba_8_2_1": (0, 3, 4, 5),
    "ba_16_2_1": (3, 0, 5, 4),
    "ba_64_2_1": (3, 0, 5, 25),
    "ba_33_1_1": (0, 4, 1, 7),
    "ba_33_2_1": (3, 0, 5, 1),
    "ba_33_3_1": (0, 4, 13, 1),
    "sb_.009_1": (3, 24, 26, 31),
    "sb_.05_1": (22, 3, 26, 29),
    "sb_.09_1": (17, 3, 9, 22),
    "ws_8_2": (5, 6, 1, 2),
    "ws_16_2": (1, 11, 8, 10),
    "ws_33_2": (13, 10, 14, 32),
    "ba_8_2_2": (0, 1, 3, 6),
    "ba_16_2_2": (1, 0, 7, 3),
    "ba_64_2_2": (7, 1, 0, 17),
    "ba_33_1_2": (0, 10, 3, 1),
    "ba_33_2_2": (1, 7, 0, 4),
    "ba_33_3_2": (5, 0, 4, 12),
    "sb_.009_2": (32, 3, 30, 27),
    "sb_.05_2": (30, 2, 27, 3),
    "sb_.09_2": (14, 25, 24, 18),
}
"""Devices that held the OOD data, first to fourth rank, of each graph as published."""


def drawn() -> Iterator[tuple[str, str, nx.Graph]]:
    """Name, origin and graph of each of the 36."""
    for seed in range(3):
        for n in (8, 16, 33):
            graph = nx.connected_watts_strogatz_graph(n, 4, 0.5, seed=seed)
            yield f"ws_{n}_{seed}", f"connected_watts_strogatz({n}, k=4, p=0.5, seed={seed})", graph
        for n, m in ((8, 2), (16, 2), (64, 2), (33, 1), (33, 2), (33, 3)):
            graph = nx.barabasi_albert_graph(n, m, seed=seed)
            yield f"ba_{n}_{m}_{seed}", f"barabasi_albert({n}, m={m}, seed={seed})", graph
        for between in (0.009, 0.05, 0.09):
            odds = [[0.5 if a == b else between for b in range(3)] for a in range(3)]
            graph = nx.stochastic_block_model([11, 11, 11], odds, seed=seed)
            origin = f"stochastic_block_model([11, 11, 11], 0.5, {between}, seed={seed})"
            yield f"sb_{between:g}_{seed}".replace("0.", "."), origin, graph


def text(name: str, origin: str, graph: nx.Graph) -> str:
    """The file of one graph: header and adjacency rows, in the order in which networkx iterates."""
    order = list(graph)
    rows = (" ".join("01"[graph.has_edge(i, j)] for j in order) for i in order)
    ranks = " ".join(str(device) for device in PUBLISHED[name])
    return "\n".join([f"# {origin}", f"# published ood ranks: {ranks}", *rows, ""])


def main() -> None:
    """Write all files."""
    for name, origin, graph in drawn():
        file = Path(__file__).with_name(f"{name}.txt")
        file.write_text(text(name, origin, graph), encoding="ascii")


if __name__ == "__main__":
    main()
