"""E0: does anything start? Versions, what the system allows, and two ranks on the processor."""

import mmap
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jobs
from findings import kind, note, trying

SWITCH = b"NCCL_MULTI_RANK_GPU_ENABLE"


def main() -> None:
    """Look, then run two ranks."""
    for look in (machine, versions, system, ranks):
        with trying(look.__name__):
            look()


def machine() -> None:
    """The GPU and its driver."""
    asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    if shutil.which(asked[0]) is None:
        note("gpu", "nvidia-smi is not there")
        return
    done = subprocess.run(asked, capture_output=True, text=True, timeout=20)
    note("gpu", (done.stdout or done.stderr).strip())


def versions() -> None:
    """Of what computes and what sends."""
    import torch

    note("python", sys.version.split()[0])
    note("torch", torch.__version__)
    kind()
    with trying("triton"):
        import triton

        note("triton", triton.__version__)
    with trying("cudnn"):
        note("cudnn", torch.backends.cudnn.version())
    library = nccl()
    note("multi_rank", bool(library) and holds(library, SWITCH))
    with trying("nccl"):
        note("nccl", ".".join(map(str, torch.cuda.nccl.version())))
    with trying("h5py"):
        import h5py

        note("h5py", f"{h5py.__version__}, parallel: {h5py.get_config().mpi}")
    with trying("kernel"):
        from mpidl.exchange import kernels

        note("kernel", kernels.NAME)


def nccl() -> Path | None:
    """The NCCL that torch brings."""
    import torch

    places = [Path(torch.__file__).parent / "lib", Path(torch.__file__).parents[1] / "nvidia"]
    return next((path for place in places for path in place.rglob("libnccl.so*")), None)


def holds(library: Path, text: bytes) -> bool:
    """Whether a library has a text in it."""
    with open(library, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as all_:
        return all_.find(text) >= 0


def system() -> None:
    """What the kernel allows, and how much memory ranks can share."""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    note("ptrace_scope", scope.read_text().strip() if scope.exists() else "no such file")
    note("kernel_release", os.uname().release)
    shm = shutil.disk_usage("/dev/shm")
    note("shm", f"{shm.free >> 20} MB free of {shm.total >> 20}")
    note("cores", len(os.sched_getaffinity(0)))
    note("compiler", shutil.which("gcc") or shutil.which("cc") or "none, which Triton needs")


def ranks() -> None:
    """Two ranks, one round, forked from one process and each by itself."""
    settings = (*jobs.SMALL, "training.rounds=1", "training.accelerator=cpu")
    forked = jobs.run(2, settings, limit=25)
    note("forked", forked.ended)
    alone = jobs.run(2, settings, environment={"MPIDL_FORK": "0"}, limit=25)
    note("alone", alone.ended)
    note("same", jobs.apart(forked.path, alone.path))


if __name__ == "__main__":
    main()
