"""What the algorithms reach at each rate, and at their best one, as Markdown.

python table.py RESULTS > table.md, where RESULTS/runs.csv is that of mpidl.report --csv.
"""

import sys
from pathlib import Path

import pandas as pd

from mpidl.report import style
from mpidl.report.statistics.groups import within
from mpidl.report.statistics.inference import interval

RATE, FIRST = "training.lr", "dsgd"
COLUMNS = {
    "iid_last": "accuracy, last round",
    "iid_worst": "of the worst device",
    "iid_level": "accuracy, level",
    "consensus_last": "consensus distance",
}


def spread(values: pd.Series) -> str:
    """Mean over seeds, and the 95 % interval of the true mean."""
    mean, low, high = interval(values, within=within(str(values.name)))
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def line(*cells: object) -> None:
    """Print one line of a Markdown table."""
    print(f"| {' | '.join(map(str, cells))} |")


def head(*cells: str) -> None:
    """Print the head of one."""
    line(*cells)
    line(*["---"] * len(cells))


def best_rate(runs: pd.DataFrame) -> float:
    """The rate at which the mean accuracy after the last round is highest."""
    return float(runs.groupby(RATE)["iid_last"].mean().idxmax())


def main(folder: str) -> None:
    """Print both tables."""
    runs = pd.read_csv(Path(folder) / "runs.csv")
    runs = runs[runs["completed"]]
    by_name = {name: runs[runs["strategy"] == name] for name in style.ordered(runs["strategy"])}
    print(f"Mean of {runs['seed'].nunique()} seeds [95 % interval], after mixing.\n")
    head("rate", "algorithm", *COLUMNS.values())
    for rate in sorted(runs[RATE].unique()):
        for name, own in by_name.items():
            found = own[own[RATE] == rate]
            line(rate, name, *(spread(found[column]) for column in COLUMNS))
    print(f"\nEach at the rate that is best for it in the last round, and less {FIRST}:\n")
    head("algorithm", "rate", *list(COLUMNS.values())[:2], f"less {FIRST}, seed by seed")
    chosen = {
        name: own[own[RATE] == best_rate(own)].set_index("seed") for name, own in by_name.items()
    }
    for name, own in chosen.items():
        apart = (own["iid_last"] - chosen[FIRST]["iid_last"]).rename("difference")
        told = (spread(own[column]) for column in list(COLUMNS)[:2])
        line(name, own[RATE].iloc[0], *told, spread(apart) if name != FIRST else "-")


if __name__ == "__main__":
    main(*sys.argv[1:])
