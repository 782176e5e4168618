"""Run a module of Python, such as ``mpidl.run``, as if this machine had a GPU.

mpiexec -n 2 python -m tests.fake_cuda mpidl.run --set training.rounds=2
"""

import os
import runpy
import sys
from pathlib import Path


def main() -> None:
    """Install the fake device, and become the module that is named."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if not __package__:
        sys.path[0] = str(Path(__file__).parents[2])
    # Each rank has a device of its own to install, so none is forked from another.
    os.environ["MPIDL_FORK"] = "0"
    from tests.fake_cuda import build

    if (reason := build.obstacle()) is not None:
        sys.exit(f"no fake GPU: {reason}")
    from tests.fake_cuda import shim

    shim.install()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


main()
