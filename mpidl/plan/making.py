"""A plan made of a run file."""

from dataclasses import replace

import networkx as nx

from mpidl.components import graphs, placement
from mpidl.config.faults import Fault
from mpidl.config.runfile import RunFile
from mpidl.plan import refusals
from mpidl.plan.plans import SPECTRUM, Plan


def make(file: RunFile, ranks: int, graph: nx.DiGraph | None = None) -> Plan:
    """Build all that needs no data.

    Args:
        file: The run file.
        ranks: How many were started.
        graph: That of the run file, if it was built before.

    Raises:
        Fault: If graph, sources, hosts and number of ranks do not fit together.
    """
    graph = graphs.build(file.topology, ranks, file.training.rounds) if graph is None else graph
    devices = len(graph)
    topology = file.topology.model_copy(update={"devices": devices})
    file = replace(file, topology=topology)
    hosts = placement.hosts(file.placement.hosts, devices, ranks)
    none = file.ood.name == "none"
    seed, slow = file.training.seed, file.network.stragglers
    sources = [] if none else placement.sources(file.ood.sources, graph, seed)
    stragglers = placement.chosen("network.stragglers", slow, graph, seed, "stragglers")
    attackers = _attackers(file, graph)
    refusals.check_exchange(file, devices, SPECTRUM)
    refusals.check_network(file, devices)
    refusals.check_weights(file, graph)
    made = Plan(file, graph, sources, hosts, attackers, stragglers)
    refusals.check_algorithm(made)
    refusals.check_mean(made)
    refusals.check_honest(made)
    return made


def _attackers(file: RunFile, graph: nx.DiGraph) -> list[int]:
    attack, seed = file.attack, file.training.seed
    if attack.name == "none":
        return []
    found = placement.chosen("attack.devices", attack.devices, graph, seed, "attackers")
    if not found:
        raise Fault("attack.devices = []: must name at least one device.")
    return found
