"""Ranks that have left are missed by those that wait for them in vain, and by no others."""

import numpy as np
import pytest

from mpidl.ranks.departures import missed

FOREVER = np.inf


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        # Who has made 4 calls and left misses no fifth one, and is missed in a fifth one.
        ([(5, 0, 0), (0, 0, 5)], "rank 0 left its loop while rank 1 waits for it"),
        ([(0, 5, 0), (0, 0, 5)], "rank 0 ended its program while rank 1 waits for it"),
        ([(5, 0, 0), (0, 0, 4), (0, 0, 0)], None),
        ([(0, 5, 0), (0, 0, 4), (0, 0, 0)], None),
        # A rank at the end of its loop waits for all that others still do there.
        ([(5, 0, FOREVER), (0, 0, 4)], None),
        ([(5, 0, FOREVER), (0, 0, 0)], None),
        ([(5, 0, FOREVER), (0, 0, 5)], "rank 0 left its loop while rank 1 waits for it"),
        ([(5, 0, FOREVER), (0, 5, 0)], "rank 1 ended its program while rank 0 waits for it"),
        ([(0, 5, 0), (0, 5, 0)], None),
        (
            [(0, 4, 0), (0, 0, 5), (0, 5, 0), (0, 0, 6), (0, 7, 0)],
            "ranks 0, 2 ended their program while ranks 1, 3 wait for them",
        ),
        ([(4, 0, 0)] * 9 + [(0, 0, 4)], "ranks 0, 1, 2, 3, 4, 5, 6, 7 and 1 more left"),
    ],
)
def test_only_who_waits_in_a_call_that_another_does_not_make_misses_it(rows, said):
    found = missed(np.array(rows, float))
    assert str(found).startswith(str(said))
