"""Linear algebra that is the same on every machine, bit for bit."""

import os
import subprocess
import sys

import numpy as np
import pytest

from mpidl.components.graphs.exact import leading, square

OTHER = {
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
}
"""An older processor, as far as libraries can be told."""

PRINTED = """
import networkx as nx
from mpidl.components.graphs.matcha import _laplacian, best_weight, matchings, probabilities
graph = nx.barabasi_albert_graph(20, 2, seed=0)
laplacians = [_laplacian(20, color) for color in matchings(graph)]
chances = probabilities(laplacians, 0.5)
print(chances.tobytes().hex(), best_weight(laplacians, chances)[0].hex())
"""


def symmetric(devices, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(devices, devices))
    return drawn + drawn.T


@pytest.mark.parametrize("devices", [1, 2, 3, 40, 257])
def test_a_square_is_that_of_the_matrix(devices):
    matrix = symmetric(devices)
    np.testing.assert_allclose(square(matrix), matrix @ matrix, atol=1e-10 * devices)


def test_the_order_in_which_terms_are_added_does_not_matter():
    """Devices in another order are added in another; a plain product then differs."""
    matrix = symmetric(200)
    order = np.random.default_rng(1).permutation(200)
    turned = np.ascontiguousarray(matrix[np.ix_(order, order)])
    assert (square(turned) == square(matrix)[np.ix_(order, order)]).all()
    assert (turned @ turned != (matrix @ matrix)[np.ix_(order, order)]).any()


def test_the_leading_eigenvalue_and_all_its_directions_are_found():
    basis = np.linalg.qr(symmetric(30))[0]
    values = np.array([0.9, 0.9, *np.linspace(0, 0.8, 28)])
    matrix = basis * values @ basis.T
    value, directions = leading(matrix, 0)
    assert value == pytest.approx(0.9, abs=1e-10)
    assert len(directions) == 2
    np.testing.assert_allclose(directions @ matrix, 0.9 * directions, atol=1e-9)
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-9)


def test_what_matcha_draws_by_does_not_depend_on_the_processor():
    told = [
        subprocess.run(
            [sys.executable, "-c", PRINTED],
            env=os.environ | other,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for other in ({}, OTHER)
    ]
    assert told[0] == told[1] != ""
