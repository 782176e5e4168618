"""The command python -m mpidl.topology; what it says is made in mpidl.preview."""

import sys

from mpidl.preview.topology import main

if __name__ == "__main__":
    sys.exit(main())
