"""Tables over many runs, against numbers worked out from the curves they are given."""

import math

import networkx as nx
import numpy as np
import pytest
from scipy import stats

from mpidl.report import shelf, statistics
from mpidl.report.page import table as tables_of
from mpidl.storage.runs import files


def runs(write, folder, table, **options):
    """Runs of constant OOD accuracy: by ``(strategy, seed, source)``."""
    for number, ((strategy, seed, source), value) in enumerate(table.items()):
        levels = np.broadcast_to(value, (3, 4))
        write(
            folder / f"run{number}.h5",
            levels,
            np.full((3, 4), 0.5),
            sources=(source,),
            settings=[
                f"strategy.name='{strategy}'",
                f"training.seed={seed}",
                f"ood.sources={source}",
            ],
            **options,
        )
    return shelf.read(files(folder))


@pytest.fixture(scope="module")
def found(write, tmp_path_factory):
    """Degree, unweighted and random weights, two sources, three seeds; one run is missing."""
    levels = {
        ("degree", 0): (0.9, 0.2),
        ("degree", 1): (0.8, 0.4),
        ("degree", 2): (0.7, 0.3),
        ("unweighted", 0): (0.5, 0.5),
        ("unweighted", 1): (0.5, 0.4),
        ("unweighted", 2): (0.6, 0.5),
        ("random", 0): (0.1, 0.1),
        ("random", 1): (0.2, 0.3),
        ("random", 2): (0.3, None),
    }
    table = {
        (strategy, seed, source): value
        for (strategy, seed), values in levels.items()
        for source, value in zip((0, 2), values, strict=True)
        if value is not None
    }
    return runs(write, tmp_path_factory.mktemp("runs"), table)


def line(table, **where):
    for key, value in where.items():
        table = table[table[key] == value]
    (only,) = table.to_dict("records")
    return only


def test_groups_have_means_and_both_intervals(found):
    table = statistics.groups(found)
    assert len(table) == 6
    one = line(table, cell="sources 0", strategy="degree")
    assert (one["runs"], one["seeds"], one["devices"], one["unfinished"]) == (3, 3, 4, 0)
    assert one["ood_level"] == pytest.approx(0.8)
    assert one["ood_area"] == pytest.approx(1.6)
    expected = statistics.interval(np.repeat([1.8, 1.6, 1.4], 4), within=(0, 2))
    assert (one["ood_area_low"], one["ood_area_high"]) == pytest.approx(expected[1:])
    expected = statistics.interval([1.8, 1.6, 1.4], within=(0, 2))
    assert (one["ood_area_seeds_low"], one["ood_area_seeds_high"]) == pytest.approx(expected[1:])
    percent = [200 * (ood - 1) / (ood + 1) for ood in (1.8, 1.6, 1.4)]
    keys = ("difference", "difference_low", "difference_high")
    assert [one[key] for key in keys] == pytest.approx(statistics.interval(percent))
    assert (one["rounds_to_threshold"], one["reached"]) == (1, 3)
    never = line(table, cell="sources 0", strategy="random")
    assert math.isnan(never["rounds_to_threshold"])
    assert never["reached"] == 0


def test_the_ranking_is_over_blocks_that_all_have(found):
    table = statistics.ranking(found)
    assert set(table["blocks"]) == {5}
    assert set(table["dropped"]) == {1}
    assert dict(zip(table["strategy"], table["present"], strict=True)) == {
        "degree": 6,
        "unweighted": 6,
        "random": 5,
    }
    # Blocks by source and seed: 00 d u r, 01 d u r, 02 d u r, 20 u d r, 21 d=u r.
    ranks = {"degree": (1 + 1 + 1 + 2 + 1.5) / 5, "unweighted": (2 * 3 + 1 + 1.5) / 5, "random": 3}
    assert dict(zip(table["strategy"], table["rank"], strict=True)) == pytest.approx(ranks)
    assert table["strategy"].tolist() == ["degree", "unweighted", "random"]
    assert table["wins"].tolist() == pytest.approx([3.5, 1.5, 0])
    assert line(table, strategy="degree")["mean"] == pytest.approx(0.6)
    values = [[0.9, 0.8, 0.7, 0.2, 0.4], [0.5, 0.5, 0.6, 0.5, 0.4], [0.1, 0.2, 0.3, 0.1, 0.3]]
    test = stats.friedmanchisquare(*values)
    assert table["friedman"].tolist() == pytest.approx([test.statistic] * 3)
    assert table["p"].tolist() == pytest.approx([test.pvalue] * 3)
    # Demsar 2006, table 5: q at 5 % for three is 2.343.
    assert table["critical"][0] == pytest.approx(2.343 * math.sqrt(3 * 4 / (6 * 5)), rel=1e-3)


def test_pairs_are_over_blocks_that_both_have(found):
    table = statistics.pairs(found)
    one = line(table, first="degree", second="unweighted")
    differences = [0.4, 0.3, 0.1, -0.3, 0.0, -0.2]
    assert one["n"] == 6
    assert (one["ahead"], one["behind"], one["tied"]) == (3, 2, 1)
    keys = ("difference", "low", "high")
    assert [one[key] for key in keys] == pytest.approx(statistics.interval(differences))
    assert one["wilcoxon_p"] == pytest.approx(statistics.signed_rank(differences))
    assert one["t_p"] == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert line(table, first="random", second="unweighted")["n"] == 5
    assert table["holm_p"].tolist() == pytest.approx(statistics.holm(table["wilcoxon_p"]))


def test_less_may_be_better(found):
    table = statistics.ranking(found, "rounds_to_threshold")
    assert line(table, strategy="random")["present"] == 0
    one = line(statistics.pairs(found, "bytes"), first="degree", second="random")
    assert (one["ahead"], one["behind"], one["tied"]) == (0, 0, 5)


def test_relations_are_those_of_predictors_that_vary(found):
    table = statistics.relations(found)
    assert set(table["predictor"]) == {"hops", "log_passage"}
    for predictor in ("hops", "log_passage"):
        one = line(table, strategy="degree", predictor=predictor)
        assert (one["n"], one["slope"]) == (18, pytest.approx(0))


def test_one_seed_has_differences_and_no_p(write, tmp_path):
    found = runs(write, tmp_path, {("degree", 0, 0): 0.9, ("unweighted", 0, 0): 0.5})
    (one,) = statistics.pairs(found).to_dict("records")
    assert (one["n"], one["difference"], one["ahead"]) == (1, pytest.approx(0.4), 1)
    assert np.isnan([one[key] for key in ("low", "high", "wilcoxon_p", "t_p", "holm_p")]).all()
    table = statistics.ranking(found)
    assert table["rank"].tolist() == [1, 2]
    assert table[["friedman", "p", "critical"]].isna().all(axis=None)
    one = statistics.groups(found).iloc[0]
    assert math.isnan(one["ood_area_seeds_low"])
    assert one["ood_area_low"] == one["ood_area_high"] == one["ood_area"]


def test_without_ood_data_strategies_are_compared_by_iid_accuracy(write, tmp_path):
    paths = [
        write(
            tmp_path / f"{name}.h5",
            np.full((2, 3), np.nan),
            np.full((2, 3), level),
            sources=(),
            settings=[f"strategy.name={name}"],
        )
        for name, level in (("degree", 0.4), ("unweighted", 0.7))
    ]
    found = shelf.read(paths)
    tables = statistics.tables(found)
    assert tables["ranking"]["strategy"].tolist() == ["unweighted", "degree"]
    assert tables["pairs"]["difference"].tolist() == pytest.approx([-0.3])
    told = tables_of.of(tables["ranking"], "ranking", compared=found.compared)
    assert "of their IID level" in told.text
    assert [one.head for one in told.columns if one.key == "mean"] == ["IID level"]


def test_a_strategy_that_few_blocks_have_is_not_ranked(write, tmp_path):
    table = {
        (rule, seed, 0): level
        for rule, level in (("degree", 0.9), ("random", 0.4))
        for seed in range(3)
    }
    found = runs(write, tmp_path, {**table, ("federated", 0, 0): 0.6})
    ranking = statistics.ranking(found)
    last = line(ranking, strategy="federated")
    assert math.isnan(last["rank"])
    assert (last["present"], last["blocks"], last["mean"]) == (1, 0, pytest.approx(0.6))
    assert ranking["strategy"].tolist() == ["degree", "random", "federated"]
    assert ranking["blocks"].tolist() == [3, 3, 0]
    assert line(statistics.pairs(found), first="degree", second="federated")["n"] == 1


def test_repeated_runs_count_once_and_unfinished_ones_not(write, tmp_path):
    settings = ["strategy.name='degree'"]
    for name, level in (("a", 0.2), ("b", 0.4)):
        write(tmp_path / name / "run.h5", np.full((3, 4), level), settings=settings)
    other = ["strategy.name='random'"]
    write(tmp_path / "c.h5", np.full((3, 4), 0.9), settings=other, done=1, completed=False)
    found = shelf.read(files(tmp_path))
    random, degree = statistics.groups(found).to_dict("records")
    assert (degree["runs"], degree["seeds"], degree["ood_level"]) == (2, 1, pytest.approx(0.3))
    assert (random["runs"], random["seeds"], random["unfinished"]) == (0, 0, 1)
    assert math.isnan(random["ood_level"])
    assert statistics.ranking(found)["strategy"].tolist() == ["degree"]
    assert statistics.pairs(found).empty


def test_no_finished_run_leaves_tables_empty(write, tmp_path):
    write(tmp_path / "a.h5", np.full((3, 4), 0.9), done=1, completed=False)
    found = shelf.read(files(tmp_path))
    for table in (statistics.ranking, statistics.pairs, statistics.relations):
        assert table(found).empty
    assert statistics.groups(found)["ood_area"].isna().all()


def test_a_device_and_a_round_alone(write, tmp_path):
    write(tmp_path / "a.h5", [[0.3]])
    found = shelf.read(files(tmp_path))
    (one,) = statistics.groups(found).to_dict("records")
    assert (one["ood_area"], one["ood_level"], one["devices"]) == (0, pytest.approx(0.3), 1)
    assert statistics.relations(found).empty


def test_knowledge_that_fades_with_distance(write, tmp_path):
    # On a path of four from device 0: .9, .7, .5 at 1, 2, 3 hops.
    levels = np.tile([1.0, 0.9, 0.7, 0.5], (3, 1))
    for name, devices in (("a", levels), ("b", levels[:, :3])):
        write(tmp_path / f"{name}.h5", devices, graph=nx.path_graph(devices.shape[1]))
    table = statistics.relations(shelf.read(files(tmp_path)))
    one = line(table, predictor="hops")
    x, y = [1, 2, 3, 1, 2], [0.9, 0.7, 0.5, 0.9, 0.7]
    expected = statistics.regress(x, y)
    assert (one["n"], one["slope"]) == (5, pytest.approx(-0.2))
    assert (one["slope"], one["r2"]) == pytest.approx((expected.slope, expected.r2))
    two = line(table, predictor="devices")
    assert (two["n"], math.isnan(two["slope"])) == (2, True)
