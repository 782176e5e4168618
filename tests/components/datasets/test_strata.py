"""Stratified draws: exact counts, quotas within one, nothing twice."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mpidl.components.datasets import strata
from mpidl.config import seeds


@given(
    labels=st.lists(st.integers(0, 4), min_size=0, max_size=60).map(np.array),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
def test_each_class_is_within_one_of_its_quota(labels, share, seed):
    count = int(share * len(labels))
    drawn = strata.choose(labels, count, seeds.stream(seed, "test"))
    assert len(drawn) == len(set(drawn.tolist())) == count
    assert (np.diff(drawn) > 0).all()
    for label in set(labels.tolist()):
        quota = count * (labels == label).sum() / len(labels)
        assert abs((labels[drawn] == label).sum() - quota) < 1


def test_each_sample_is_drawn_equally_often():
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    drawn = [strata.choose(labels, 2, seeds.stream(seed, "test")) for seed in range(3500)]
    counts = np.bincount(np.concatenate(drawn))
    assert counts.sum() == 7000
    assert (np.abs(counts - 1000) < 120).all()  # four standard deviations
