"""Spack's package of mpidl: ``spack repo add recipes/spack/spack_repo/mpidl``."""

from pathlib import Path

from spack_repo.builtin.build_systems.python import PythonPackage

from spack.package import *


class PyMpidl(PythonPackage):
    """Decentralized learning on graphs over MPI: one rank per device, weighted gossip, HDF5."""

    homepage = "https://arxiv.org/abs/2505.11760"
    # The repository in which this file lies.
    git = Path(__file__).resolve().parents[6].as_uri()

    license("Apache-2.0")

    version("main", branch="main")

    variant("parallel", default=True, description="Results files are written by all ranks")
    variant("ensemble", default=False, description="Studies of many runs, placed by Parsl")
    variant("report", default=False, description="Tables, figures and pages")

    depends_on("cxx", type="build")
    depends_on("cmake@3.18:", type="build")
    depends_on("ninja", type="build")

    with default_args(type="build"):
        depends_on("py-scikit-build-core@0.10:")
        depends_on("py-nanobind@2.2:")
        depends_on("py-setuptools-scm@8:")

    with default_args(type=("build", "run")):
        depends_on("python@3.11:")
        depends_on("py-h5py@3.11:")
        depends_on("py-h5py+mpi", when="+parallel")
        depends_on("py-mpi4py@4:")
        depends_on("py-networkx@3.2:")
        depends_on("py-numpy@1.26:")
        depends_on("py-pooch@1.8:")
        depends_on("py-pydantic@2.7:")
        depends_on("py-rich@13:")
        depends_on("py-rustworkx@0.17:")
        depends_on("py-scipy@1.12:")
        depends_on("py-tomli-w@1.0:")
        depends_on("py-torch@2.3:")

    with when("+ensemble"), default_args(type=("build", "run")):
        depends_on("py-parsl@2025.12:")

    with when("+report"), default_args(type=("build", "run")):
        depends_on("py-jinja2@3:")
        depends_on("py-matplotlib@3.9:")
        depends_on("py-pandas@2.2:")
        depends_on("py-pyarrow@15:")
        depends_on("py-xarray@2024.6:")
