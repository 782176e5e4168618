"""Comparisons of strategies on the same cells and seeds."""

import math
from itertools import combinations
from typing import Any

import pandas as pd
from scipy import stats

from mpidl.report import recorded
from mpidl.report.collection import Collection
from mpidl.report.statistics.groups import WAYS, seeded, within
from mpidl.report.statistics.inference import CONFIDENCE, holm, interval, paired_t, signed_rank

LESS = (*WAYS, "consensus_last", "seconds", "bytes")
"""Measures for which less is better, whatever devices are measured by."""

ENOUGH = 0.5
"""Least share of the blocks that a strategy must have to be ranked."""

DIGITS = 12
"""Decimals to which measures are compared, so that differences by rounding are ties."""

PAIRS = (
    *("first", "second", "n", "difference", "low", "high", "ahead", "behind", "tied"),
    *("wilcoxon_p", "t_p", "holm_p"),
)


def less(collection: Collection, measure: str) -> bool:
    """Whether less of a measure of runs is better."""
    scored = measure.startswith(("iid_", "ood_"))
    return measure in LESS or (scored and recorded.less(collection.value))


def blocks(collection: Collection, measure: str) -> pd.DataFrame:
    """A measure by block (cell and seed; the lines) and by strategy (the columns).

    NaN if a strategy has no finished run in a block, or none with the measure; repeated runs are
    averaged.
    """
    runs = seeded(collection)
    return runs.pivot(index=["cell", "seed"], columns="strategy", values=measure)


def ranking(
    collection: Collection, measure: str = "ood_level", confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """Strategies by their mean rank over blocks, the best first.

    A block is a cell and a seed: the same graph, data, sources and luck for all strategies. Only
    blocks that have all ranked strategies count. A strategy that is in less than half of all
    blocks is not ranked, lest it take the others' blocks away (``federated`` in the published
    study has a fourth of them); it comes last, with the mean over the blocks it has.

    Columns: ``strategy``; ``present``, the blocks it has; ``blocks``, those that count, and
    ``dropped``, those that do not; ``rank``, mean over blocks of its rank, 1 for the best, ties
    sharing the mean of theirs; ``mean`` of the measure with its interval over blocks ``low`` to
    ``high`` (blocks of different cells differ by more than luck); ``wins``, blocks in which it is
    the best, ties sharing one. The same for all that are ranked: ``friedman``, the
    statistic of Friedman's test that strategies are alike, corrected for ties, with ``p`` by its
    chi-squared approximation, NaN for fewer than three strategies or two blocks; ``critical``,
    Nemenyi's difference of mean ranks from which on two strategies differ, NaN for fewer than two
    of either. Sources: M. Friedman, J. Am. Stat. Assoc. 32, 1937; J. Demsar, J. Mach. Learn. Res.
    7, 2006.
    """
    table = blocks(collection, measure)
    names = [str(name) for name in table]
    chosen = [name for name in names if table[name].notna().mean() >= ENOUGH]
    whole = table[chosen].dropna()
    signed = whole.round(DIGITS) * (1 if less(collection, measure) else -1)
    ranks = signed.rank(axis=1)
    best = signed.eq(signed.min(axis=1), axis=0)
    wins = best.div(best.sum(axis=1), axis=0).sum()
    tests = _tests(ranks, confidence)
    rows = []
    for name in names:
        counted = name in chosen
        values = whole[name] if counted else table[name]
        rows.append(
            {
                "strategy": name,
                "present": int(table[name].notna().sum()),
                "blocks": len(whole) if counted else 0,
                "dropped": len(table) - len(whole) if counted else len(table),
                "rank": float(ranks[name].mean()) if counted else math.nan,
                **dict(
                    zip(
                        ("mean", "low", "high"),
                        interval(values, confidence, within(measure, collection.value)),
                        strict=True,
                    )
                ),
                "wins": float(wins[name]) if counted else math.nan,
                **(tests if counted else dict.fromkeys(tests, math.nan)),
            }
        )
    columns = ["strategy", "present", "blocks", "dropped", "rank", "mean", "low", "high", "wins"]
    ranked = pd.DataFrame(rows, columns=[*columns, *tests])
    return ranked.sort_values(["rank", "strategy"], ignore_index=True)


def _tests(ranks: pd.DataFrame, confidence: float) -> dict[str, float]:
    n, k = ranks.shape
    numbers = {"friedman": math.nan, "p": math.nan, "critical": math.nan}
    if n < 2 or k < 2:
        return numbers
    # An infinite number of degrees of freedom takes a second to integrate, this many a moment.
    range_ = float(stats.studentized_range.ppf(confidence, k, 10**5))
    numbers["critical"] = range_ / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * n))
    if k > 2 and (ranks.nunique(axis=1) > 1).any():
        test = stats.friedmanchisquare(*(ranks[name] for name in ranks))
        numbers |= {"friedman": float(test.statistic), "p": float(test.pvalue)}
    return numbers


def pairs(
    collection: Collection, measure: str = "ood_level", confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """Every two strategies, over the blocks that both have.

    A block is a cell and a seed, as in :func:`ranking`; here one counts where the two have a run,
    whoever else has none. Blocks of the same seed and graph share data and first models, so they
    are less independent than the tests take them to be.

    Columns: ``first`` and ``second``, by name; ``n``, the blocks; ``difference``, the mean of
    first - second with its interval ``low`` to ``high`` by Student's t of the differences; the
    blocks in which the first is ``ahead``, ``behind`` or ``tied`` (ahead is less for
    :data:`LESS`); ``wilcoxon_p`` (:func:`signed_rank`), ``t_p`` (:func:`paired_t`) and
    ``holm_p``, wilcoxon_p corrected for all pairs of the table (:func:`holm`). One block: no p.
    """
    table = blocks(collection, measure)
    rows: list[dict[str, Any]] = []
    for first, second in combinations(table, 2):
        differences = (table[first] - table[second]).dropna().round(DIGITS)
        ahead = differences < 0 if less(collection, measure) else differences > 0
        mean, low, high = interval(differences, confidence)
        rows.append(
            {
                "first": first,
                "second": second,
                "n": len(differences),
                "difference": mean,
                "low": low,
                "high": high,
                "ahead": int(ahead.sum()),
                "behind": int((~ahead & (differences != 0)).sum()),
                "tied": int((differences == 0).sum()),
                "wilcoxon_p": signed_rank(differences),
                "t_p": paired_t(differences),
            }
        )
    compared = pd.DataFrame(rows, columns=PAIRS[:-1])
    return compared.assign(holm_p=holm(compared["wilcoxon_p"]))
