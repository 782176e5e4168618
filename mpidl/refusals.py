"""What does not go together in a run file, found before anything is built of it."""

import networkx as nx

from mpidl import graphs, network, strategies
from mpidl.faults import Fault, shown
from mpidl.runfile import RunFile


def check_weights(file: RunFile, graph: nx.DiGraph) -> None:
    """See whether the topology has the weights that the strategy takes.

    Raises:
        Fault: If it has none.
    """
    moving = graphs.sequence(graph)
    if file.strategy.name == "given" and (moving is None or not moving.weighted):
        raise Fault(
            "strategy.name = 'given': takes the weights of the topology, and this one comes "
            "without; 'base_k' and 'matcha' have some."
        )


def check_exchange(file: RunFile, devices: int, dense: int) -> None:
    """See whether backend, mixing and strategy go together.

    Args:
        file: The run file.
        devices: N.
        dense: Devices up to which the mixing matrix may be dense.

    Raises:
        Fault: If they do not.
    """
    exchange, complete = file.exchange, file.strategy.name in strategies.COMPLETE
    if exchange.backend == "allreduce" and not complete:
        raise Fault(
            "exchange.backend = 'allreduce': gives every device the mean of all, so strategy.name "
            f"must be 'federated', not {file.strategy.name!r}."
        )
    if exchange.mixing == "delayed" and exchange.backend not in ("auto", "mpi"):
        raise Fault(
            f"exchange.mixing = 'delayed': moves vectors while devices train, which "
            f"exchange.backend = {exchange.backend!r} does not; 'auto' and 'mpi' do."
        )
    sequence = exchange.sequence
    if sequence is not None and sorted(sequence) != list(range(devices)):
        raise Fault(
            f"exchange.sequence = {shown(sequence)}: must name each device from 0 to "
            f"{devices - 1} once."
        )
    if exchange.mixing == "sequential" and strategies.looks(file.strategy.name):
        raise Fault(
            "exchange.mixing = 'sequential': mixes by weights that are known before the round, and "
            f"those of strategy.name = {file.strategy.name!r} follow from the vectors that arrive; "
            "'synchronous' and 'delayed' work."
        )
    if exchange.mixing == "sequential" and devices > dense:
        raise Fault(
            f"exchange.mixing = 'sequential': takes graphs of up to {dense} devices, not {devices}."
        )
    if complete and devices * (devices - 1) > graphs.LINKS:
        raise Fault(
            f"strategy.name = {file.strategy.name!r}: links all devices to all, and {devices} "
            f"devices have more links than the {graphs.LINKS:,} that are allowed."
        )


def check_network(file: RunFile, devices: int) -> None:
    """See whether the network and the attack fit graph and mixing.

    Raises:
        Fault: If they do not.
    """
    settings, mixing = file.network, file.exchange.mixing
    for outage in settings.outages:
        if outage[0] >= devices:
            raise Fault(
                f"network.outages = {shown(settings.outages)}: must name devices of the graph, 0 "
                f"to {devices - 1}."
            )
    if network.longest(settings) and mixing != "synchronous":
        raise Fault(
            f"network.delay = {shown(settings.delay)}: is emulated where exchange.mixing = "
            f"'synchronous', not {mixing!r}."
        )
    if file.attack.name != "none" and mixing != "synchronous":
        raise Fault(
            f"attack.name = {file.attack.name!r}: goes with exchange.mixing = 'synchronous', not "
            f"{mixing!r}."
        )
    if network.takes_time(settings) and mixing == "sequential":
        raise Fault(
            "exchange.mixing = 'sequential': has no clock; [network] takes seconds where it is "
            "'synchronous' or 'delayed'."
        )
