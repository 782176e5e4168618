"""Making of a plan from a run file, or of the part that gossip needs."""

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mpidl.components import graphs, loggers, lr_schedules, optimizer_trial, placement
from mpidl.components.graphs import Topology
from mpidl.config.faults import Fault
from mpidl.config.runfile import MixingSettings, RunFile
from mpidl.plan import refusals
from mpidl.plan.gossip_plan import Mixing
from mpidl.plan.plan import Plan

Hosts = npt.NDArray[np.int64]
M = TypeVar("M", bound=Mixing)


def make(file: RunFile, ranks: int, topology: Topology | None = None) -> Plan:
    """Make the plan of a run, without data.

    Args:
        file: The run file.
        ranks: Number of ranks.
        topology: The topology of the run file, if it was built before.

    Raises:
        Fault: If graph, sources, hosts and number of ranks do not fit together.
    """
    if topology is None:
        topology = graphs.build(file.topology, ranks, file.training.rounds)
    devices = len(topology)
    lasting = lr_schedules.lasting(file.lr_schedule, file.training.rounds)
    lr_schedules.check(lasting, file.training.rounds)
    loggers.check_names(file.record.log)
    optimizer_trial.check(file.training, lasting)
    sized = file.topology.model_copy(update={"devices": devices})
    file = replace(file, topology=sized, lr_schedule=lasting)
    hosts = placement.hosts(file.placement.hosts, devices, ranks)
    none = file.ood.name == "none"
    seed, slow = file.training.seed, file.network.stragglers
    sources = [] if none else placement.sources(file.ood.sources, topology, seed)
    stragglers = placement.chosen("network.stragglers", slow, topology, seed, "stragglers")
    more = {"file": file, "sources": sources, "stragglers": stragglers}
    return _sound(Plan, file.mixing, topology, hosts, **more)


def make_mixing(settings: MixingSettings, topology: Topology, hosts: Hosts) -> Mixing:
    """Make the plan of gossip, without a run around it.

    Args:
        settings: The settings of gossip.
        topology: The topology.
        hosts: Device to rank, ``(N,)``.

    Raises:
        Fault: If these do not fit together.
    """
    return _sound(Mixing, settings, topology, hosts)


def _sound(
    kind: type[M], settings: MixingSettings, topology: Topology, hosts: Hosts, **more: Any
) -> M:
    """A checked plan of a class."""
    attackers = _attackers(settings, topology)
    refusals.check_exchange(settings, len(topology))
    refusals.check_network(settings, len(topology))
    plan = kind(settings, topology, hosts, attackers, **more)
    refusals.check_weights(plan)
    refusals.check_algorithm(plan)
    refusals.check_mean(plan)
    refusals.check_honest(plan)
    return plan


def _attackers(settings: MixingSettings, topology: Topology) -> list[int]:
    attack, seed = settings.attack, settings.seed
    if attack.name == "none":
        return []
    attackers = placement.chosen("attack.devices", attack.devices, topology, seed, "attackers")
    if not attackers:
        raise Fault("attack.devices = []: must name at least one device.")
    return attackers
