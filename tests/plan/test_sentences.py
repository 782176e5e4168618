"""Sentences that several commands say."""

import pytest

from mpidl.plan import sentences


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (312_400_000, "312.4 MB"),
        (24e9, "24.0 GB"),
        (24_576e9, "24,576.0 GB"),
    ],
)
def test_bytes_have_a_unit_in_which_they_are_not_nothing(count, told):
    assert sentences.volume(count) == told
