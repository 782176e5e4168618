"""The command ``python -m mpidl.datasets``; the data sets are in :mod:`mpidl.components.datasets`."""

import sys

from mpidl.components.datasets.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
