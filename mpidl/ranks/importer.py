"""Importer: the one process of a node that imports for all its ranks, and forks them.

It sleeps as long as they live, and tells each stand-in (see :mod:`mpidl.ranks.standin`) how its
rank ended. If a stand-in is gone, the importer kills its rank; if all stand-ins went with the
launcher's terminal, it asks the ranks to stop. If the importer is gone, the kernel kills its ranks.
"""

import gc
import importlib
import marshal
import os
import select
import signal
import socket
import struct
import sys
import time
from contextlib import suppress

GRACE = 1000
"""Milliseconds to wait for stand-ins that do not come."""

LEAVING = 1.0
"""Seconds that the launcher's process on this node has to leave when its launcher is gone."""

HANDED = 5
"""Number of descriptors that a stand-in hands over: three streams, PMI socket, folder."""

PASSED_ON = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
    signal.SIGCONT,
)
"""Signals that a stand-in passes on to its rank."""

PSEUDO = range(136, 144)
"""Major numbers of Linux's pseudo terminals."""

PR_SET_PDEATHSIG = 1

forked = False
"""Whether this process is a forked rank."""


def serve(module: str, listening: socket.socket, proxy: int, stand_in: int) -> None:
    """Import a module, then fork a rank for each stand-in; return in the ranks only.

    Args:
        module: A module with a function ``prepare`` that takes the arguments of the command.
        listening: The socket to which stand-ins connect.
        proxy: The parent of all stand-ins.
        stand_in: The parent of this process.
    """
    try:
        _withdraw(listening, stand_in)
        gc.disable()
        importlib.import_module(module).prepare(sys.argv[1:])
        gc.freeze()
        # A reader of the ranks' output would wait for this process too.
        os.dup2(0, 1)
        os.dup2(0, 2)
        _die_with_parent(None)
    except BaseException:
        # The stand-ins become ranks, and report the error.
        os._exit(1)
    _fork_all(listening, proxy)


def same_job(peer: socket.socket, proxy: int) -> bool:
    """Whether the process at the other end belongs to this user and this job."""
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    process, user, _ = struct.unpack("3i", credentials)
    return user == os.geteuid() and _status(process)[1] == proxy


def _withdraw(listening: socket.socket, stand_in: int) -> None:
    """Keep only standard output and error of what the launcher gave the parent."""
    os.setpgid(0, 0)
    _die_with_parent(stand_in)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor != listening.fileno():
            with suppress(OSError):
                os.close(descriptor)
    # Ranks do not get this: they have the environments of their stand-ins.
    os.environ["MPI4PY_RC_INITIALIZE"] = "0"


def _die_with_parent(parent: int | None) -> None:
    """Let the kernel kill this process when its parent ends; None ends that."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL if parent else 0, 0, 0, 0)
    if parent not in (None, os.getppid()):
        os._exit(1)


def _fork_all(listening: socket.socket, proxy: int) -> None:
    importer, missing = os.getpid(), int(os.environ["MPI_LOCALNRANKS"])
    # Signals to every process of a job reach a rank through its stand-in.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    # The first ranks wait for the last: if they worked, forking would lack cores.
    gate, latch = socket.socketpair()
    ranks = Ranks(listening, Launcher(proxy))
    while ranks.known or missing:
        ready = ranks.poll.poll(GRACE if missing else None)
        # One at a time: a descriptor that is closed here may be another's in the next.
        if ready and ready[0][0] != listening.fileno():
            ranks.attend(ready[0][0])
            continue
        if ready:
            link, _ = listening.accept()
            parcel = _receive(link) if same_job(link, proxy) else None
            if parcel is None:
                link.close()
                continue
            process = os.fork()
            if process == 0:
                for other in (listening, latch, link):
                    other.close()
                ranks.forget()
                _become(importer, *parcel)
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                gate.recv(1)
                gate.close()
                return
            ranks.add(process, link)
            for descriptor in parcel[1]:
                os.close(descriptor)
        missing = max(missing - 1, 0) if ready else 0
        if not missing:
            latch.close()
    os._exit(0)


def _receive(link: socket.socket) -> tuple[bytes, list[int]] | None:
    """The parcel and descriptors that a stand-in hands over; None if it is gone."""
    handed: list[int] = []
    with suppress(OSError):
        size, handed, _, _ = socket.recv_fds(link, struct.calcsize("q"), HANDED)
        parcel = link.recv(struct.unpack("q", size)[0], socket.MSG_WAITALL) if size else b""
        if parcel and len(handed) == HANDED:
            return parcel, handed
    for descriptor in handed:
        os.close(descriptor)
    return None


def _become(importer: int, parcel: bytes, handed: list[int]) -> None:
    """Take the place of the process that the launcher started, in a forked rank."""
    import ctypes

    global forked
    forked = True
    # The session stays the importer's, so that the kernel shares cores fairly among waiting ranks.
    os.setpgid(0, 0)
    _die_with_parent(importer)
    *streams, manager, folder = handed
    for own, stream in enumerate(streams):
        os.dup2(stream, own)
        os.close(stream)
    os.fchdir(folder)
    os.close(folder)
    sys.argv, environment, cores = marshal.loads(parcel)
    os.environ.clear()
    os.environ.update(environment, PMI_FD=str(manager))
    os.sched_setaffinity(0, cores)
    gc.enable()
    # Exit handlers run last in, first out: MPI's, then this one, and none of the imported modules.
    library = ctypes.CDLL(None)
    with suppress(AttributeError):
        library.on_exit(library._exit, None)


class Launcher:
    """The launcher of the stand-ins, which may end when its terminal is closed.

    Hydra's mpiexec ends by SIGHUP without a message, and its proxies kill their processes.

    Args:
        proxy: The launcher's process on this node.
    """

    def __init__(self, proxy: int) -> None:
        self.proxy = proxy
        _, self.process, *_ = _status(proxy)
        _, _, self.terminal, *_ = _status(self.process)

    def hung_up(self) -> bool:
        """Whether it ended with its terminal, and SIGHUP is not ignored."""
        major, minor = os.major(self.terminal), os.minor(self.terminal)
        if (
            major not in PSEUDO
            or os.path.exists(f"/dev/pts/{minor + 256 * (major - PSEUDO[0])}")
            or _status(self.process)[0] not in "ZX"
            or signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        ):
            return False
        deadline = time.monotonic() + LEAVING
        while _status(self.proxy)[0] not in "ZX" and time.monotonic() < deadline:
            time.sleep(0.01)
        return True


def _status(process: int) -> tuple[str, int, int]:
    """The state, parent and terminal of a process; ``X``, 0 and 0 if it is gone."""
    try:
        with open(f"/proc/{process}/stat") as stat:
            state, parent, _, _, terminal = stat.read().rpartition(")")[2].split()[:5]
    except OSError:
        return "X", 0, 0
    return state, int(parent), int(terminal)


class Ranks:
    """The ranks of a node: processes, their handles, and the links to their stand-ins."""

    def __init__(self, listening: socket.socket, launcher: "Launcher") -> None:
        self.launcher = launcher
        self.poll = select.poll()
        self.poll.register(listening, select.POLLIN)
        self.known: dict[int, tuple[int, int, socket.socket]] = {}

    def add(self, process: int, link: socket.socket) -> None:
        """Watch a rank, and send its handle to its stand-in."""
        handle = os.pidfd_open(process)
        with suppress(OSError):
            socket.send_fds(link, [b"1"], [handle])
        for descriptor in (handle, link.fileno()):
            self.known[descriptor] = process, handle, link
            self.poll.register(descriptor, select.POLLIN)

    def attend(self, descriptor: int) -> None:
        """Tell a stand-in that its rank has ended, or end the rank whose stand-in has ended."""
        process, handle, link = self.known.pop(descriptor)
        self.poll.unregister(descriptor)
        if descriptor != handle:
            if self.launcher.hung_up():
                os.kill(process, signal.SIGHUP)
                return
            from mpidl.ranks import host

            # The rank may still be starting MPI, before it removes these names itself.
            host.forget_names_of(process)
            os.kill(process, signal.SIGKILL)
            return
        _, status = os.waitpid(process, 0)
        with suppress(OSError):
            link.send(struct.pack("i", status))
        if self.known.pop(link.fileno(), None) is not None:
            self.poll.unregister(link)
        link.close()
        os.close(handle)

    def forget(self) -> None:
        """Close the links and handles of the other ranks, in a forked rank."""
        for _, handle, link in set(self.known.values()):
            link.close()
            os.close(handle)
