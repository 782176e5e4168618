"""Stand-ins: processes of the launcher for which the importer of their node forks ranks.

Under Hydra (the mpiexec of MPICH and Intel MPI) the processes that it starts become *stand-ins*:
each hands its arguments, environment, cores, folder, streams and PMI socket to the *importer* of
its node, which forks a rank for it. A stand-in passes signals on to its rank, and ends as the rank
does. Where this is not possible, each process is a rank and imports for itself.

A stand-in must stay small: nothing heavy may be imported here.
"""

import marshal
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from mpidl.ranks import importer, stopping

SWITCH = "MPIDL_FORK"
"""Environment variable; if it is 0, each rank imports for itself, which a debugger needs."""

HYDRA = "hydra_pmi_proxy"
"""The name of the process that starts Hydra's ranks on a node."""

PLACE = ("PMI_FD", "PMI_RANK", "MPI_LOCALNRANKS", "MPI_LOCALRANKID")
"""Variables that tell a process of Hydra its rank and place."""

PATIENCE = 10.0
"""Seconds in which a stand-in must find the importer; else it becomes a rank itself."""


def fork_from_one(module: str) -> None:
    """Return in a rank; all imports are done then if the node can do them once.

    A stand-in does not return; it ends as its rank does, see :func:`end_with`.

    Args:
        module: A module with a function ``prepare``, which is called once per node with the
            arguments of the command, to import what ranks need. It must not use MPI, accelerators,
            or threads of torch.
    """
    if not _able():
        return
    proxy = os.getppid()
    address = f"\0mpidl-{os.geteuid()}-{proxy}"
    if os.environ["MPI_LOCALRANKID"] == "0":
        listening, stand_in = socket.socket(socket.AF_UNIX), os.getpid()
        try:
            listening.bind(address)
        except OSError:
            return
        listening.listen(int(os.environ["MPI_LOCALNRANKS"]))
        if os.fork() == 0:
            importer.serve(module, listening, proxy, stand_in)
            return
        listening.close()
    _stand_in(address, proxy)


def end_with(main: Callable[[], int]) -> None:
    """Call ``main`` and end this process with its exit code.

    A forked rank ends at once: to clean up its modules, it would first have to copy them.
    """
    try:
        code = main()
    except SystemExit as ended:
        if not isinstance(ended.code, int):
            raise
        code = ended.code
    if not importer.forked:
        sys.exit(code)
    import ctypes

    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    ctypes.PyDLL(None).exit(code)


def _able() -> bool:
    placed = all(os.environ.get(name, "").isdigit() for name in PLACE)
    if not placed or os.environ.get(SWITCH) == "0" or os.environ["MPI_LOCALNRANKS"] == "1":
        return False
    try:
        with open(f"/proc/{os.getppid()}/comm") as name:
            hydra = name.read().strip() == HYDRA
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return hydra


def _stand_in(address: str, proxy: int) -> None:
    """Stand in for a rank until it ends; return if no rank is forked."""
    link = _connect(address, proxy)
    if link is None:
        return
    folder = os.open(".", os.O_PATH)
    parcel = marshal.dumps((sys.argv, dict(os.environ), list(os.sched_getaffinity(0))))
    handed = [0, 1, 2, int(os.environ["PMI_FD"]), folder]
    handles: list[int] = []
    with suppress(OSError):
        socket.send_fds(link, [struct.pack("q", len(parcel))], handed)
        link.sendall(parcel)
        _, handles, _, _ = socket.recv_fds(link, 1, 1)
    os.close(folder)
    if not handles:
        link.close()
        return

    def pass_on(number: int, frame: object) -> None:
        with suppress(OSError):
            signal.pidfd_send_signal(handles[0], number)

    for number in importer.PASSED_ON:
        signal.signal(number, pass_on)
    # Signals that came before there was a rank.
    for sent in stopping.asked:
        pass_on(sent, None)
    status = b""
    with suppress(OSError):
        status = link.recv(struct.calcsize("i"))
    # An importer sends no status only if it was killed, and its ranks with it.
    _end(struct.unpack("i", status)[0] if status else signal.SIGKILL)


def _connect(address: str, proxy: int) -> socket.socket | None:
    link, deadline, pause = socket.socket(socket.AF_UNIX), time.monotonic() + PATIENCE, 0.005
    while error := link.connect_ex(address):
        if time.monotonic() > deadline:
            break
        time.sleep(pause)
        pause = min(2 * pause, 0.1)
    if error == 0 and importer.same_job(link, proxy):
        return link
    link.close()
    return None


def _end(status: int) -> None:
    """End by the exit code or the signal of a rank, without a second core file."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))
