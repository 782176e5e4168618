"""The forecast of a study on a site: times, jobs of its queues, or why none takes it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mpidl.config.faults import Fault
from mpidl.config.registry import nearest
from mpidl.ensemble import allocation, cost, sites
from mpidl.ensemble.calibration import FIGURES, calibrate, remembered
from mpidl.ensemble.cost import MARGIN, Measured
from mpidl.ensemble.folder import Attempt, Folder, finished
from mpidl.ensemble.packing import Group, Offer, chain, gaps, groups, offer
from mpidl.ensemble.sites import Queue, Shape, Site
from mpidl.ensemble.study import Study
from mpidl.ensemble.words import HOUR, brief, duration, in_hours, so_many, span, spread
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
    """What a study will take on a site, and what it took so far.

    On the site's own nodes what is not known is measured first, which takes a minute or so.

    Args:
        study: All its runs.
        site: Where.
        site_name: As the user calls it.
        folder: Of the study's results, with what was measured and what ended.
        nodes: Of each job, if that is decided.
        queue: Or partition, if that is decided.
        hours: Of each job, if that is decided.

    Raises:
        Fault: If the site has no such queue, or the folder's figures are damaged.
    """
    asked = asked_for(site, queue)
    faults = calibrate(study, site, site_name, folder) if allocation.inside(site) else []
    measured = remembered(folder, site, site_name)
    known = cost.estimates(study, site, measured)
    took = {
        name: attempt.seconds
        for name, attempt in finished(Folder(folder).attempts()).items()
        if was_here(attempt, site)
    }
    parts = [
        [f"{study.name} on {site_name}: {len(study.runs):,} runs"],
        [*table(groups(study.runs, site, known), site), *counted(study, known)],
        [*told(study, site, measured), *(faults or missing(study, known, site_name, folder))],
        compared(known, took),
    ]
    left = [run for run in study.runs if run.name not in took]
    work = groups(left, site, cost.corrected(known, took))
    if left and all(run.name in known for run in left):
        rest = f"The {len(left):,} runs that are left, corrected by that ratio:" if took else ""
        parts.append([*([rest] if rest else []), *jobs(work, site, asked, nodes, hours)])
    elif left and site.queues:
        parts.append([*rooms(work, site.queues, nodes), *hints(work, site), *gaps(site.queues)])
    return "\n".join("\n".join(part) + "\n" for part in parts if part).rstrip("\n")


def asked_for(site: Site, queue: str | None) -> list[str]:
    """The queues of a site that are meant by a name; some are reached through another one.

    Raises:
        Fault: If none is called so.
    """
    names = [name for name, one in site.queues.items() if queue in (name, one.through)]
    if queue and site.queues and not names:
        raise Fault(f"Unknown queue {queue!r}; {nearest(queue, site.queues)}")
    return names if queue else []


def was_here(attempt: Attempt, site: Site) -> bool:
    """Whether an attempt was on a site, as far as its host tells: a study may go to several."""
    same = attempt.host == host.name()
    return same if site.scheduler == "none" else allocation.inside(site) or not same


def table(work: Sequence[Group], site: Site) -> list[str]:
    """What runs of each size take, a line each; of those whose time is known."""
    rows = [("ranks", "runs", "a run takes", "at a time", "and goes on for", "node-hours")]
    for one in work:
        low, high = one.ranks
        rows.append(
            (
                f"{low} to {high}" if low < high else f"{high}",
                f"{one.runs:,}",
                _taken(one.shape, len(sites.places(site))),
                _at_once(one.shape),
                spread(one.seconds) + _part([one]) if one.seconds else "unknown",
                f"{one.node_hours:,.1f}" if one.seconds else "unknown",
            )
        )
    if len(work) > 1 and any(one.seconds for one in work):
        hours = sum(one.node_hours for one in work)
        runs = f"{sum(one.runs for one in work):,}"
        rows.append(("all", runs, "", "", _part(work).lstrip(), f"{hours:,.1f}"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]


def _part(work: Sequence[Group]) -> str:
    """Of how many runs the time is known, where it is not that of all."""
    known, runs = sum(len(one.seconds) for one in work), sum(one.runs for one in work)
    return "" if known == runs else f" ({known:,} of {runs:,})"


def _at_once(shape: Shape) -> str:
    return f"{shape.slots} a node" if shape.nodes == 1 else f"1 on {shape.nodes} nodes"


def _taken(shape: Shape, there: int) -> str:
    if shape.nodes > 1:
        return f"{shape.nodes} nodes"
    return "1 node" if shape.places == there else f"{shape.places} of {there} places"


def counted(study: Study, known: Mapping[str, float]) -> list[str]:
    """Which kinds of runs are in the sums, and which are not, where these are some of both."""
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


def told(study: Study, site: Site, measured: Sequence[Measured]) -> list[str]:
    """Where the expected times come from, a line for each kind of run."""
    lines = []
    for what, file in sorted({cost.kind(run.file): run.file for run in study.runs}.items()):
        found = cost.rates(file, site, measured)
        if found is not None:
            lines.append(
                f"{what}: {brief(found.train)} to train on a sample, {brief(found.evaluate)} to "
                f"evaluate one, {found.fixed:.3g} s to start; {found.source}."
            )
    return list(dict.fromkeys(lines))


def missing(study: Study, known: Mapping[str, float], site_name: str, folder: Path) -> list[str]:
    """One sentence for all kinds of runs that there is no figure for."""
    kinds = sorted({str(cost.kind(run.file)) for run in study.runs if run.name not in known})
    if not kinds:
        return []
    return [
        f"How long {', '.join(kinds)} takes on {site_name} is not known: the same command inside a "
        f"job there measures it and keeps it in {folder / FIGURES}; or put [[figures]] into "
        "the site's file."
    ]


def compared(known: Mapping[str, float], took: Mapping[str, float]) -> list[str]:
    """What the runs that ended took of what was expected."""
    pairs = [(took[name], known[name]) for name in took if name in known]
    if not pairs:
        return []
    first, middle, third = np.percentile(
        [seconds / expected for seconds, expected in pairs], [25, 50, 75]
    )
    spent, expected = (sum(column) for column in zip(*pairs, strict=True))
    return [
        f"{len(pairs):,} runs ended: {duration(spent)} in all, {duration(expected)} were expected; "
        f"a run took {middle:.2f} of what was expected (middle half {first:.2f} to {third:.2f})."
    ]


def jobs(
    work: Sequence[Group],
    site: Site,
    asked: Sequence[str],
    nodes: int | None,
    hours: float | None,
) -> list[str]:
    """The jobs that do the work, and what every other queue would do."""
    queues = site.queues
    if site.scheduler == "none":
        took = chain(work, 1, float("inf")) or [0.0]
        return [f"On this machine all of them end after {duration(took[0])}."]
    if not queues:
        free = Queue(nodes=[1, 10**6], hours=hours or 1e6)
        least = max(one.shape.nodes for one in work)
        found = offer(work, "The partition", free, nodes or least, hours)
        line = found if isinstance(found, str) else _offered(replace(found, queue=""), "")
        return [line, "The site's file has no [queues]; with them other numbers are tried."]
    made = {name: offer(work, name, queue, nodes, hours) for name, queue in queues.items()}
    fit = [found for found in made.values() if isinstance(found, Offer)]
    best = min(fit, key=lambda found: (len(found.took), found.nodes), default=None)
    first = list(asked) or ([best.queue] if best else [])
    lines = [] if asked else ["Best:" if best else "No queue takes this study so."]
    for name in [*first, *(name for name in queues if name not in first)]:
        reason, limit = made[name], _limit(queues[name])
        lines.append(reason if isinstance(reason, str) else _offered(reason, limit))
        if [name] == first[-1:] and len(queues) > len(first):
            lines.append("The others:")
    return [*lines, *hints(work, site), *gaps(queues)]


def hints(work: Sequence[Group], site: Site) -> list[str]:
    """What a user may change."""
    lines, room = [], len(sites.places(site)) * site.node.ranks_per_place
    most = max((queue.hours for queue in site.queues.values()), default=float("inf"))
    longest = max((one.seconds[0] for one in work if one.seconds), default=0.0)
    if MARGIN * longest > HOUR * most:
        lines.append(
            f"A run takes {duration(longest)}; no queue gives a job more than {in_hours(most)}."
        )
    if any(one.shape.nodes > 1 for one in work):
        lines.append(f"With --ranks {room} no run takes more than one node.")
    return lines


def rooms(work: Sequence[Group], queues: Mapping[str, Queue], nodes: int | None) -> list[str]:
    """What queues take, where it is not known how long runs take."""
    needed = max(one.shape.nodes for one in work)
    lines = []
    for name, queue in queues.items():
        low, high = queue.nodes
        if nodes is not None and not low <= nodes <= high:
            lines.append(f"{name} takes {span(low, high)} nodes, not {nodes}.")
        elif needed > high:
            lines.append(f"{name} takes {span(low, high)} nodes; the largest runs need {needed}.")
        else:
            limit = f"{in_hours(queue.hours)} at most{_limit(queue)}"
            lines.append(f"{name} takes {span(low, high)} nodes, {limit}.")
    return lines


def _offered(found: Offer, limit: str) -> str:
    count = len(found.took)
    many = "1 job" if count == 1 else f"{count} jobs, one after another, each"
    where = f"{found.queue}: " if found.queue else ""
    walltime = allocation.clock(found.walltime)
    return (
        f"{where}{many} of {so_many(found.nodes)} with walltime {walltime}; "
        f"{duration(sum(found.took))} in all, {found.node_hours:,.1f} node-hours{limit}."
    )


def _limit(queue: Queue) -> str:
    """What else is to be known of a queue."""
    told = [f"{queue.jobs} at a time" if queue.jobs else "", queue.note]
    return "; " * any(told) + ", ".join(text for text in told if text)
