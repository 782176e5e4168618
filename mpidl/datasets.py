"""The command python -m mpidl.datasets; what it is about is in mpidl.components.datasets."""

import sys

from mpidl.components.datasets.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
