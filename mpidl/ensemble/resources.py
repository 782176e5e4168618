"""Resources that a study takes on a site: times, node-hours, and jobs of its queues."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mpidl.config.faults import Fault, nearest
from mpidl.ensemble import allocation, cost, shapes
from mpidl.ensemble.calibration import FIGURES, calibrate, remembered
from mpidl.ensemble.cost import Measured
from mpidl.ensemble.folder import Attempt, Folder, finished
from mpidl.ensemble.offers import hints, jobs, queue_limits
from mpidl.ensemble.packing import Group, gaps, groups
from mpidl.ensemble.shapes import Shape
from mpidl.ensemble.sites import Site
from mpidl.ensemble.study import Study
from mpidl.ensemble.words import brief, duration, so_many, spread
from mpidl.ranks import host


def report(
    study: Study,
    site: Site,
    site_name: str,
    folder: Path,
    nodes: int | None,
    queue: str | None,
    hours: float | None,
) -> str:
    """A text that says what a study will take on a site, and what it took so far.

    On a node of the site, kinds of runs that are not known are measured first (about a minute).

    Args:
        study: The study.
        site: The site.
        site_name: Its name on the command line.
        folder: The folder of the study's results, with measurements and attempts.
        nodes: Nodes of each job; None leaves the choice.
        queue: Queue or partition; None leaves the choice.
        hours: Hours of each job; None leaves the choice.

    Raises:
        Fault: If the site has no such queue, or the folder's figures are damaged.
    """
    chosen = matching_queues(site, queue)
    faults = calibrate(study, site, site_name, folder) if allocation.inside(site) else []
    measured = remembered(folder, site, site_name)
    known = cost.estimates(study, site, measured)
    took = {
        name: attempt.seconds
        for name, attempt in finished(Folder(folder).attempts()).items()
        if ran_here(attempt, site)
    }
    parts = [
        [f"{study.name} on {site_name}: {len(study.runs):,} runs"],
        [*table(groups(study.runs, site, known), site), *coverage(study, known)],
        [*rate_lines(study, site, measured), *(faults or missing(study, known, site_name, folder))],
        accuracy(known, took),
    ]
    left = [run for run in study.runs if run.name not in took]
    work = groups(left, site, cost.corrected(known, took))
    if left and all(run.name in known for run in left):
        rest = f"The {len(left):,} runs that are left, corrected by that ratio:" if took else ""
        parts.append([*([rest] if rest else []), *jobs(work, site, chosen, nodes, hours)])
    elif left and site.queues:
        parts.append(
            [*queue_limits(work, site.queues, nodes), *hints(work, site), *gaps(site.queues)]
        )
    return "\n".join("\n".join(part) + "\n" for part in parts if part).rstrip("\n")


def matching_queues(site: Site, queue: str | None) -> list[str]:
    """The queues of a site that have a name, or are reached through the queue of that name.

    Raises:
        Fault: If there is none.
    """
    names = [name for name, settings in site.queues.items() if queue in (name, settings.through)]
    if queue and site.queues and not names:
        raise Fault(f"Unknown queue {queue!r}; {nearest(queue, site.queues)}")
    return names if queue else []


def ran_here(attempt: Attempt, site: Site) -> bool:
    """Whether an attempt ran on a site, as far as its host says: a study may use several sites."""
    same = attempt.host == host.name()
    return same if site.scheduler == "none" else allocation.inside(site) or not same


def table(work: Sequence[Group], site: Site) -> list[str]:
    """Lines of a table: what the runs of each size take; times of the runs whose time is known."""
    cells = [("ranks", "runs", "a run takes", "at a time", "and goes on for", "node-hours")]
    for group in work:
        low, high = group.ranks
        cells.append(
            (
                f"{low} to {high}" if low < high else f"{high}",
                f"{group.runs:,}",
                _taken(group.shape, len(shapes.places(site))),
                _at_once(group.shape),
                spread(group.seconds) + _part([group]) if group.seconds else "unknown",
                f"{group.node_hours:,.1f}" if group.seconds else "unknown",
            )
        )
    if len(work) > 1 and any(group.seconds for group in work):
        hours = sum(group.node_hours for group in work)
        runs = f"{sum(group.runs for group in work):,}"
        cells.append(("all", runs, "", "", _part(work).lstrip(), f"{hours:,.1f}"))
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    return [
        "  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in cells
    ]


def _part(work: Sequence[Group]) -> str:
    """A note of how many runs the time is known of, if not of all."""
    known, runs = sum(len(group.seconds) for group in work), sum(group.runs for group in work)
    return "" if known == runs else f" ({known:,} of {runs:,})"


def _at_once(shape: Shape) -> str:
    return f"{shape.slots} a node" if shape.nodes == 1 else f"1 on {shape.nodes} nodes"


def _taken(shape: Shape, available: int) -> str:
    if shape.nodes > 1:
        return f"{shape.nodes} nodes"
    return "1 node" if shape.places == available else f"{shape.places} of {available} places"


def coverage(study: Study, known: Mapping[str, float]) -> list[str]:
    """Two lines with the kinds of runs of known and of unknown time, if there are both."""
    kinds = {run.name: f"{cost.kind(run.file)}" for run in study.runs}
    parts = [
        Counter(kind for name, kind in kinds.items() if (name in known) is wanted)
        for wanted in (True, False)
    ]
    if not all(parts):
        return []
    inside, outside = (
        ", ".join(f"{kind} ({so_many(runs, 'run')})" for kind, runs in sorted(part.items()))
        for part in parts
    )
    return [f"In these times and sums: {inside}.", f"Not in them, as not known: {outside}."]


def rate_lines(study: Study, site: Site, measured: Sequence[Measured]) -> list[str]:
    """A line for each kind of run, with the source of its expected time."""
    lines = []
    for run_kind, file in sorted({cost.kind(run.file): run.file for run in study.runs}.items()):
        rates = cost.rates(file, site, measured)
        if rates is not None:
            lines.append(
                f"{run_kind}: {brief(rates.train)} to train on a sample, {brief(rates.evaluate)} "
                f"to evaluate one, {rates.fixed:.3g} s to start; {rates.source}."
            )
    return list(dict.fromkeys(lines))


def missing(study: Study, known: Mapping[str, float], site_name: str, folder: Path) -> list[str]:
    """One sentence about all kinds of runs whose time is unknown."""
    kinds = sorted({str(cost.kind(run.file)) for run in study.runs if run.name not in known})
    if not kinds:
        return []
    return [
        f"The time of {', '.join(kinds)} on {site_name} is not known: the same command inside a "
        f"job there measures it and keeps it in {folder / FIGURES}; or put [[figures]] into "
        "the site's file."
    ]


def accuracy(known: Mapping[str, float], took: Mapping[str, float]) -> list[str]:
    """One line that compares the times that ended runs took with those expected."""
    pairs = [(took[name], known[name]) for name in took if name in known]
    if not pairs:
        return []
    first, middle, third = np.percentile(
        [seconds / expected for seconds, expected in pairs], [25, 50, 75]
    )
    spent, expected = (sum(column) for column in zip(*pairs, strict=True))
    return [
        f"{len(pairs):,} runs ended: {duration(spent)} in all, {duration(expected)} were expected; "
        f"a run took {middle:.2f} times its expected time (middle half {first:.2f} to {third:.2f})."
    ]
