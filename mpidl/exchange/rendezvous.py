"""Rendezvous of a group of torch.distributed, at an address that all ranks reach."""

import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from mpi4py import MPI

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from mpidl.config.faults import Fault
from mpidl.exchange import Wiring

TIMEOUT = timedelta(minutes=10)
"""Time that a message may take before the job ends; the first one makes connections."""

PROBE = 3.0
"""Seconds in which an address of the first rank must answer."""

LOOPBACK = "127.0.0.1"

BACKLOG = 4096
"""Ranks that may connect at once; the system may allow fewer."""

Place = tuple[str, int]
"""An address, and a port there."""

FAST = ("hsn", "ib", "bond")
"""Beginnings of names of fast networks on clusters; their addresses are tried first."""

INTERFACE = "GLOO_SOCKET_IFNAME"
"""Variable in which gloo reads the network to use; a user's own setting is kept."""


class Group:
    """Collective. All ranks as the group of torch.distributed, with one backend.

    The rank's accelerator must be current already: on XPUs there is a silent deadlock otherwise.
    torch.distributed has one such group per process, so there is one exchange at a time.

    Args:
        wiring: The wiring of the exchange.
        backend: Its name in torch.distributed.
        bound: Whether the group belongs to the rank's accelerator.

    Raises:
        Fault: If some node reaches no address of the first rank, or the process has a group.
    """

    def __init__(self, wiring: Wiring, backend: str, bound: bool = True) -> None:
        if dist.is_initialized():
            raise Fault(
                f"exchange.backend = {backend!r}: torch.distributed has one group of ranks in a "
                "process, and another already uses it; 'auto' and 'mpi' need none."
            )
        comm, self._node, self._device = wiring.comm, wiring.node, wiring.device
        offered = [LOOPBACK] if self._node.alone else addresses()
        doors = _doors(offered) if comm.rank == 0 else {}
        try:
            address, port = self._meet(comm.bcast(list(doors)))
            door = doors.pop((address, port), None)
        finally:
            for other in doors.values():
                other.close()
        self._store: TCPStore | None = _store(address, port, door)
        hook = sys.excepthook
        with _network(address, port):
            dist.init_process_group(
                backend,
                store=PrefixStore("mpidl", self._store),
                rank=comm.rank,
                world_size=comm.size,
                timeout=TIMEOUT,
                device_id=self._device if bound else None,
            )
        # torch puts the rank before each line of a traceback; world() does it once.
        sys.excepthook = hook
        self._warm_up()

    def _meet(self, offers: list[Place]) -> Place:
        """Collective. The first address of rank 0 that every node reaches."""
        comm = self._node.comm
        asks = self._node.inner.rank == 0 and not self._node.alone
        reached = np.array([not asks or _answers(*place) for place in offers], bool)
        comm.Allreduce(MPI.IN_PLACE, reached, MPI.LAND)
        if not reached.any():
            listed = ", ".join(address for address, _ in offers)
            raise Fault(
                f"The ranks cannot meet: no address of rank 0 ({listed or 'it has none'}"
                ") answers on all nodes; exchange.backend = 'mpi' needs none."
            )
        return offers[int(reached.argmax())]

    def _warm_up(self) -> None:
        """Collective. Send a first message among all ranks, so that any two can communicate.

        Without it, a batch in which some ranks have no message never ends.
        """
        # Kept as all tensors that are given to a group; see routes.Gathered.
        self._first = torch.zeros(1, device=self._device)
        dist.all_reduce(self._first)
        self.settle()

    def settle(self) -> None:
        """Wait until the accelerator has finished its work."""
        if self._device.type != "cpu":
            getattr(torch, self._device.type).synchronize()

    def close(self) -> None:
        """Collective. End the group after all ranks have finished with it."""
        self.settle()
        self._node.meet()
        dist.destroy_process_group()
        # The first rank keeps the store until all have left it.
        self._node.meet()
        self._store = None


def _doors(offered: list[str]) -> dict[Place, socket.socket]:
    """Listening sockets of this host, one for each usable address, at a free port.

    torch's own would listen on every network of the host.
    """
    doors: dict[Place, socket.socket] = {}
    for address in offered:
        with suppress(OSError):
            door = socket.create_server((address, 0), backlog=BACKLOG)
            doors[address, door.getsockname()[1]] = door
    return doors


def _store(address: str, port: int, door: socket.socket | None) -> TCPStore:
    """The store in which ranks find each other; the rank with the listening socket serves it."""
    return TCPStore(
        address,
        port,
        is_master=door is not None,
        wait_for_workers=False,
        timeout=TIMEOUT,
        # From here on the socket is torch's, which closes it.
        master_listen_fd=None if door is None else door.detach(),
    )


def addresses() -> list[str]:
    """IPv4 addresses of this host that others may reach, fast networks first."""
    by_interface = {name: address for name, address in interfaces().items() if not _local(address)}
    names = sorted(by_interface, key=lambda name: (not name.startswith(FAST), name))
    listed: list[str] = [by_interface[name] for name in names]
    with suppress(OSError):
        own = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
        listed += [str(entry[4][0]) for entry in own if not _local(str(entry[4][0]))]
    return list(dict.fromkeys(listed))


def interfaces() -> dict[str, str]:
    """The IPv4 address of each network interface that has one, by name; empty if not on Linux."""
    by_name = {}
    with suppress(ImportError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        import fcntl

        for _, name in socket.if_nameindex():
            with suppress(OSError):
                request = struct.pack("256s", name.encode()[:15])
                answer = fcntl.ioctl(link.fileno(), 0x8915, request)  # SIOCGIFADDR
                by_name[name] = socket.inet_ntoa(answer[20:24])
    return by_name


def _local(address: str) -> bool:
    return address.startswith("127.")


def _answers(address: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((address, port), PROBE):
        return True
    return False


@contextmanager
def _network(address: str, port: int) -> Iterator[None]:
    """Let gloo use the network that leads to an address.

    By default it takes the network of the host's name, which may lead nowhere, or to this
    host only.
    """
    own = address
    if not _local(address):
        with socket.create_connection((address, port), PROBE) as link:
            own = link.getsockname()[0]
    name = next((name for name, here in interfaces().items() if here == own), None)
    if name is None or INTERFACE in os.environ:
        yield
        return
    os.environ[INTERFACE] = name
    try:
        yield
    finally:
        del os.environ[INTERFACE]
