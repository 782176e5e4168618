"""Answers to the first question of a reader: when did the last device learn?"""

import numpy as np

from mpidl.report import labels
from mpidl.report.collection import Collection
from mpidl.report.lateness import count


def sentences(collection: Collection) -> list[str]:
    """Sentences that head a report: of one run its own, of several runs one about all of them."""
    runs = collection.summaries
    if len(runs) == 1:
        return [summary.late for summary in runs.values() if summary.late]
    if collection.value != "accuracy":
        return []
    last_rounds: dict[str, list[float]] = {}
    for name, strategy in zip(collection.runs["run"], collection.runs["strategy"], strict=True):
        summary = runs[name]
        if summary.completed and summary.late:
            rounds = summary.by_device["rounds_to_threshold"][summary.by_device["source"] != 1]
            last_rounds.setdefault(strategy, []).append(float(rounds.max()))
    if not last_rounds:
        return []
    parts = []
    for strategy in labels.ordered(last_rounds):
        last = np.array(last_rounds[strategy])
        reached = last[np.isfinite(last)]
        when = f", in the median after round {np.median(reached):g}" if len(reached) else ""
        parts.append(f"{strategy} in {len(reached)} of {count(len(last), 'run')}{when}")
    return [
        f"The last device reached OOD accuracy {collection.threshold:g} by {'; by '.join(parts)}. "
        "The report of a single run says which device is last, and why."
    ]
