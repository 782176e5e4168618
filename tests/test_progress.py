"""What a run tells on rank 0 while it goes on."""

import numpy as np
import pytest

from mpidl.progress import PHASES, Display


@pytest.mark.parametrize(
    ("mass", "told"),
    [
        ([1, 2e-15, 2, 1], "of device 1 is not finite, and push_sum divides by masses as small as"),
        ([1, 0.5, 1, 1], "of device 1 is not finite\n"),
        ([np.nan] * 4, "of device 1 is not finite\n"),
    ],
)
def test_where_push_sum_divides_by_next_to_nothing_it_is_named(mass, told, capsys):
    display = Display(5, quiet=False)
    seconds = {f"seconds_{phase}": np.zeros(4) for phase in PHASES}
    display.watch(0, {**seconds, "finite": np.array([1, 0, 1, 1]), "mass": np.array(mass, float)})
    assert told in capsys.readouterr().out
