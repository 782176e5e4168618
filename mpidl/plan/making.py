"""A plan made of a run file."""

from dataclasses import replace

from mpidl.components import graphs, placement
from mpidl.components.graphs import Topology
from mpidl.config.faults import Fault
from mpidl.config.runfile import RunFile
from mpidl.plan import refusals
from mpidl.plan.plans import SPECTRUM, Plan


def make(file: RunFile, ranks: int, topology: Topology | None = None) -> Plan:
    """Build all that needs no data.

    Args:
        file: The run file.
        ranks: How many were started.
        topology: That of the run file, if it was built before.

    Raises:
        Fault: If graph, sources, hosts and number of ranks do not fit together.
    """
    if topology is None:
        topology = graphs.build(file.topology, ranks, file.training.rounds)
    devices = len(topology)
    file = replace(file, topology=file.topology.model_copy(update={"devices": devices}))
    hosts = placement.hosts(file.placement.hosts, devices, ranks)
    none = file.ood.name == "none"
    seed, slow = file.training.seed, file.network.stragglers
    sources = [] if none else placement.sources(file.ood.sources, topology, seed)
    stragglers = placement.chosen("network.stragglers", slow, topology, seed, "stragglers")
    attackers = _attackers(file, topology)
    refusals.check_exchange(file, devices, SPECTRUM)
    refusals.check_network(file, devices)
    refusals.check_weights(file, topology)
    made = Plan(file, topology, sources, hosts, attackers, stragglers)
    refusals.check_algorithm(made)
    refusals.check_mean(made)
    refusals.check_honest(made)
    return made


def _attackers(file: RunFile, topology: Topology) -> list[int]:
    attack, seed = file.attack, file.training.seed
    if attack.name == "none":
        return []
    found = placement.chosen("attack.devices", attack.devices, topology, seed, "attackers")
    if not found:
        raise Fault("attack.devices = []: must name at least one device.")
    return found
