"""Choice of a backend by accelerators, ranks and graph."""

from typing import TYPE_CHECKING

from mpidl.exchange import traffic
from mpidl.exchange.backend import BACKENDS
from mpidl.exchange.survey import Facts, obstacle, survey
from mpidl.exchange.wiring import Wiring

if TYPE_CHECKING:
    from mpidl.exchange.memory import Exchange


@BACKENDS.add(traffic=traffic.mean_or_links, delays=True, shares=True)
def auto(wiring: Wiring, /) -> "Exchange":
    """The backend that fits accelerators, ranks and graph; a run says which one, and why."""
    name, reason = choose(survey(wiring))
    exchange: Exchange = BACKENDS.call(name, wiring)
    exchange.reason = reason
    return exchange


def choose(facts: Facts) -> tuple[str, str]:
    """The backend that ``auto`` chooses, and the reason."""
    if facts.delayed:
        return "mpi", "vectors travel while devices train"
    if facts.kinds == {"cpu"}:
        short = obstacle("shared", facts)
        if short is None and facts.changing:
            return "shared", "the graph changes, and vectors in host memory are read where they lie"
        if short is None:
            return "shared", "vectors are in host memory"
        return ("allreduce" if facts.uniform else "mpi"), f"shared {short}"
    if facts.uniform:
        return "allreduce", "every device takes the mean of all"
    if len(facts.kinds) > 1:
        return "mpi", f"vectors are in {' and '.join(sorted(facts.kinds))} memory"
    if not facts.travel:
        return "mpi", "no rank reads a vector of another"
    if obstacle("ipc", facts) is None:
        return "ipc", "GPUs share a node" if not facts.crowded else "ranks share a GPU"
    # If ipc was tried and failed, the reader should know why the fastest backend is not chosen.
    but = f"; ipc {obstacle('ipc', facts)}" if facts.unmapped else ""
    if facts.crowded:
        return "mpi", f"ranks share an accelerator{but}"
    if facts.kinds == {"xpu"} and facts.nodes > 1:
        # Messages of torch over oneCCL between nodes were broken on Aurora until early 2026.
        return "mpi", "it is the one proven on XPUs of several nodes"
    group = [n for n in BACKENDS if _of_torch(n, min(facts.kinds))]
    for name in group:
        if obstacle(name, facts) is None:
            if doubt := BACKENDS.properties(name).doubt(facts):
                return "mpi", doubt
            return name, f"each rank has an accelerator of its own{but}"
    lacks = [n for n in group if n == group[0] or n in facts.broken]
    return "mpi", "; ".join(f"{n} {obstacle(n, facts)}" for n in lacks) + but


def _of_torch(name: str, kind: str) -> bool:
    properties = BACKENDS.properties(name)
    return properties.available is not None and kind in properties.carries
