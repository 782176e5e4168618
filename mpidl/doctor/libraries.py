"""Libraries of a run: MPI and its mpiexec, HDF5, torch, the compiled kernel.

Each function imports what it looks at, as that may be what does not work.
"""

import os
from importlib import metadata
from pathlib import Path

from mpidl.config.faults import Fault, first_line
from mpidl.doctor.finding import Finding


def mpi() -> Finding:
    """The MPI library that mpi4py runs on."""
    from mpidl.ranks import host, mpi_library

    mpi_library.load()
    place = next(iter(host.loaded("libmpi")), "")
    found = f"{mpi_library.version()}; mpi4py {metadata.version('mpi4py')}"
    return Finding("MPI", found + (f"; {place}" if place else ""))


def hdf5() -> Finding:
    """h5py and its HDF5: parallel or serial, and on which MPI."""
    from mpidl.ranks import hdf5, mpi_library

    library = hdf5.load()
    found = f"{library.version.hdf5_version}, h5py {library.__version__}, "
    if not library.get_config().mpi:
        return Finding("HDF5", found + "serial: rank 0 writes for all")
    try:
        mpi_library.load()
        mpi_library.check_hdf5()
    except Fault as fault:
        return Finding("HDF5", found + "parallel", fault.sentences)
    return Finding("HDF5", found + "parallel, on the same MPI")


def torch() -> Finding:
    """torch, and the backends of its torch.distributed."""
    try:
        import torch
        import torch.distributed as dist
    except (ImportError, OSError) as error:
        raise Fault(
            f"torch cannot be loaded ({first_line(error)}): 'pip install --force-reinstall torch' "
            "installs it anew."
        ) from None
    known = dist.Backend.backend_list if dist.is_available() else []
    # Backends that never move data, such as torch's fake one, have no such function.
    there = [name for name in known if getattr(dist, f"is_{name}_available", bool)()]
    found = f"{torch.__version__}, with {', '.join(there) or 'no backend of torch.distributed'}"
    return Finding("torch", f"{found}; threads {torch.get_num_threads()}, 1 in most runs")


def kernel() -> Finding:
    """The compiled kernel, which mixes vectors in host memory."""
    from mpidl.exchange import kernels
    from mpidl.ranks import importer

    if kernels.NAME != "torch":
        return Finding("kernel", "compiled")
    built = [*Path(importer.__file__).parent.glob("_native*.so")]
    reason = f"{built[0]} cannot be loaded{_reason()}" if built else "The kernel was not compiled"
    remedy = "with a C++ compiler there, pip install --force-reinstall --no-deps mpidl builds it."
    sentence = f"{reason}, so torch mixes, more slowly: {remedy}"
    return Finding("kernel", "torch's", (sentence,) * bool(built), (sentence,) * (not built))


def _reason() -> str:
    try:
        from mpidl.ranks import _native  # type: ignore[attr-defined]  # noqa: F401
    except ImportError as error:
        return f" ({first_line(error)})"
    return ""


def accelerators() -> Finding:
    """The accelerators that torch sees, and whether MPI takes their memory."""
    try:
        import torch
    except (ImportError, OSError):
        return Finding("accelerators", "unknown without torch")
    from mpidl.run import hardware

    driver = hardware.DRIVER.exists()
    kinds = [k for k in ("cuda", "xpu") if getattr(torch, k).is_available()]
    if not kinds:
        wrong = (_unseen(),) if driver else ()
        return Finding("accelerators", "none", wrong)
    kind = kinds[0]
    count = getattr(torch, kind).device_count()
    device = torch.device(kind, 0)
    found = f"{count} of {hardware.describe(device)}; {_mixes(device)}; {_taken(kind)}"
    return Finding("accelerators", found)


def _unseen() -> str:
    """Why torch sees no GPU although NVIDIA's driver is there, and the remedy."""
    import torch

    if torch.version.cuda is None:
        return (
            "NVIDIA's driver is there, and this torch is for processors only: install torch for "
            "CUDA, see pytorch.org."
        )
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides all GPUs: unset it."
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return (
            f"torch cannot use the GPUs ({first_line(error)}): a newer driver, or a torch for an "
            f"older CUDA than {torch.version.cuda}, may help."
        )
    return "torch sees no GPU although NVIDIA's driver is there: nvidia-smi tells more."


def _mixes(device: object) -> str:
    from mpidl.exchange import kernels

    return f"kernel {kernels.used(device)}"  # type: ignore[arg-type]


def _taken(kind: str) -> str:
    """Whether MPI takes memory of a kind of accelerator."""
    from mpidl.ranks import mpi_library

    try:
        mpi_library.load()
    except Fault:
        return "without MPI"
    if mpi_library.takes(kind):
        return "MPI takes their memory"
    return "MPI takes no memory of theirs, so vectors for other nodes go through the host's"
