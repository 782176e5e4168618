"""Offers of a site's queues: the jobs that work takes in each, and what may be changed about it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mpidl.ensemble import allocation, shapes
from mpidl.ensemble.cost import MARGIN
from mpidl.ensemble.packing import Group, Offer, chain, gaps, offer
from mpidl.ensemble.sites import Queue, Site
from mpidl.ensemble.words import HOUR, duration, in_hours, so_many, span


def jobs(
    work: Sequence[Group],
    site: Site,
    chosen: Sequence[str],
    nodes: int | None,
    hours: float | None,
) -> list[str]:
    """Lines with the jobs that do the work, and what every other queue would take."""
    queues = site.queues
    if site.scheduler == "none":
        took = chain(work, 1, float("inf")) or [0.0]
        return [f"On this machine all of them end after {duration(took[0])}."]
    if not queues:
        free = Queue(nodes=[1, 10**6], hours=hours or 1e6)
        least = max(group.shape.nodes for group in work)
        result = offer(work, "The partition", free, nodes or least, hours)
        line = result if isinstance(result, str) else _offered(replace(result, queue=""), "")
        return [line, "The site's file has no [queues]; if it had, more sizes would be tried."]
    offers = {name: offer(work, name, queue, nodes, hours) for name, queue in queues.items()}
    fit = [result for result in offers.values() if isinstance(result, Offer)]
    best = min(fit, key=lambda result: (len(result.took), result.nodes), default=None)
    first = list(chosen) or ([best.queue] if best else [])
    lines = [] if chosen else ["Best:" if best else "No queue takes this study so."]
    for name in [*first, *(name for name in queues if name not in first)]:
        answer, limit = offers[name], _limit(queues[name])
        lines.append(answer if isinstance(answer, str) else _offered(answer, limit))
        if [name] == first[-1:] and len(queues) > len(first):
            lines.append("The others:")
    return [*lines, *hints(work, site), *gaps(queues)]


def hints(work: Sequence[Group], site: Site) -> list[str]:
    """Lines about what a user may change."""
    lines, room = [], len(shapes.places(site)) * site.node.ranks_per_place
    most = max((queue.hours for queue in site.queues.values()), default=float("inf"))
    longest = max((group.seconds[0] for group in work if group.seconds), default=0.0)
    if MARGIN * longest > HOUR * most:
        lines.append(
            f"A run takes {duration(longest)}; no queue gives a job more than {in_hours(most)}."
        )
    if any(group.shape.nodes > 1 for group in work):
        lines.append(f"With --ranks {room} no run takes more than one node.")
    return lines


def queue_limits(
    work: Sequence[Group], queues: Mapping[str, Queue], nodes: int | None
) -> list[str]:
    """Lines with the limits of each queue, for runs of unknown time."""
    needed = max(group.shape.nodes for group in work)
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


def _offered(choice: Offer, limit: str) -> str:
    count = len(choice.took)
    many = "1 job" if count == 1 else f"{count} jobs, one after another, each"
    where = f"{choice.queue}: " if choice.queue else ""
    walltime = allocation.clock(choice.walltime)
    return (
        f"{where}{many} of {so_many(choice.nodes)} with walltime {walltime}; "
        f"{duration(sum(choice.took))} in all, {choice.node_hours:,.1f} node-hours{limit}."
    )


def _limit(queue: Queue) -> str:
    """Further limits of a queue, as text."""
    parts = [f"{queue.jobs} at a time" if queue.jobs else "", queue.note]
    return "; " * any(parts) + ", ".join(text for text in parts if text)
