"""What a deal runs, and what it leaves to the others."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import deal

NUMBERS = st.integers(0, deal.DEALS - 1)


@given(number=NUMBERS, cases=st.integers(1, 12), among=st.sampled_from([deal.WORLDS, (1, 2, 4)]))
def test_each_case_has_one_number_of_ranks_and_one_has_all(number, cases, among):
    found = [deal.worlds(number, case, cases, among) for case in range(cases)]
    whole = [dealt for dealt in found if dealt == set(deal.WORLDS)]
    assert len(whole) == 1
    for dealt in found:
        assert dealt in whole or (len(dealt) == 1 and dealt < set(among))


@given(number=NUMBERS, case=st.integers(0, 12), cases=st.integers(1, 12))
def test_without_a_representative_each_case_has_one_number(number, case, cases):
    assert len(deal.worlds(number, case, cases, stands=False)) == 1


@given(number=NUMBERS, cases=st.integers(1, 12), stands=st.booleans(), data=st.data())
def test_deals_in_a_row_try_a_case_under_each_number(number, cases, stands, data):
    case = data.draw(st.integers(0, cases - 1))
    turns = range(len(deal.WORLDS))
    tried = [deal.worlds(number + turn, case, cases, stands=stands) for turn in turns]
    assert set.union(*tried) == set(deal.WORLDS)


class Item:
    """What pytest knows of a test, as far as a deal asks."""

    def __init__(self, path, name, *markers):
        self.path = self.parent = deal.HERE / path
        self.name, self.originalname = name, name.partition("[")[0]
        self.get_closest_marker = {mark.name: mark for mark in markers}.get


SHARED, OWN, WHOLE = "mpi/test_a.py", "test_a.py", "mpi/test_e.py"

ITEMS = [
    *(Item(SHARED, f"test_a[{case}]") for case in range(7)),
    Item(SHARED, "test_b"),
    Item(SHARED, "test_c[0]", pytest.mark.slow.mark),
    Item(OWN, "test_a[0]"),
    Item(OWN, "test_a[1]"),
    *(Item(WHOLE, name, pytest.mark.dealt.mark) for name in ("test_e", "test_f", "test_g[0]")),
    *(Item("mpi/test_d.py", f"test_d[{case}]", pytest.mark.ranks(1, 4).mark) for case in range(4)),
]


def names(items, path):
    return [one.name for one in items if one.path == deal.HERE / path]


@pytest.mark.parametrize("number", [0, 1, 17, 59])
def test_what_a_deal_leaves_out_is_tried_under_another_number_or_slow(number):
    tried = []
    for ranks in deal.WORLDS:
        run, rest = deal.parted(ITEMS, number, ranks)
        assert {*run} | {*rest} == {*ITEMS}
        assert run == [one for one in ITEMS if one not in rest]
        assert "test_b" in names(run, SHARED)
        assert names(run, OWN) == ["test_a[0]", "test_a[1]"]
        tried += run
    assert {*ITEMS} - {*tried} == {one for one in ITEMS if one.get_closest_marker("slow")}
    for case in range(7):
        assert names(tried, SHARED).count(f"test_a[{case}]") == (5 if case == number % 7 else 1)
    assert len(names(tried, "mpi/test_d.py")) == 3 + 5
    assert sorted(names(tried, WHOLE)) == ["test_e", "test_f", "test_g[0]"]


def test_a_number_of_ranks_that_is_not_dealt_has_all_but_slow_ones():
    run, rest = deal.parted(ITEMS, 3, 8)
    assert [one.name for one in rest] == ["test_c[0]"]
    assert len(run) == len(ITEMS) - 1


def test_an_order_is_that_of_its_deal_and_files_stay_together():
    first, again, other = (deal.shuffled(ITEMS, number) for number in (1, 1, 2))
    assert first == again != other
    assert {*first} == {*ITEMS}
    assert len([*groupby(first, key=lambda one: one.path)]) == 4


def test_the_number_is_that_of_the_commit_or_none(monkeypatch, tmp_path):
    assert 0 <= deal.number() < deal.DEALS
    for nowhere in (tmp_path, tmp_path / "none"):
        monkeypatch.setattr(deal, "HERE", nowhere)
        assert deal.number() == 0
