"""What rounds took, from the seconds of devices."""

import numpy as np

from mpidl.storage import round_values


def test_seconds_of_devices_add_up_and_shared_ones_count_once():
    alone, shared = [0.1, 0.2, 0.4], [0.5, 0.5, 0.5]
    found = round_values.by_rank(np.array([[*alone, 1.0], [*shared, 0.0]]), np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(found, [[0.7, 1.0], [0.5, 0.0]])


def test_ranks_may_host_in_turn():
    found = round_values.by_rank(np.array([[1.0, 10.0, 2.0, 20.0]]), np.array([0, 1, 0, 1]))
    np.testing.assert_allclose(found, [[3, 30]])


def test_a_round_takes_what_its_slowest_rank_takes():
    """In each round another rank is late; what it does adds up to what the round took."""
    series = {
        "seconds_train": np.array([[3.0, 4.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0]]),
        "seconds_wait": np.array([[0.0, 0.0, 4.0, 4.0], [5.0, 5.0, 1.0, 1.0]]),
        "seconds_mix": np.array([[1.0, 1.0, 1.0, 1.0], [np.nan] * 4]),
        "bytes_sent": np.ones((2, 4)),
    }
    found = round_values.spent(series, np.array([0, 0, 1, 1]))
    assert {phase: taken.tolist() for phase, taken in found.items()} == {
        "train": [7, 7],
        "wait": [0, 1],
        "mix": [1, 0],
    }
    assert round_values.spent({}, np.array([0])) == {}
