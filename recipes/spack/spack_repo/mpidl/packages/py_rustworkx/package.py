"""A newer rustworkx than Spack's own package has."""

from spack_repo.builtin.packages.py_rustworkx.package import PyRustworkx as Builtin

from spack.package import *


class PyRustworkx(Builtin):
    """Graphs and their algorithms, written in Rust."""

    version("0.17.1", sha256="59ea01b4e603daffa4e8827316c1641eef18ae9032f0b1b14aa0181687e3108e")

    depends_on("python@3.9:", type=("build", "run"), when="@0.17:")
    depends_on("rust@1.79:", type="build", when="@0.17:")
