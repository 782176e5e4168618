"""The command python -m mpidl.export; what it does is in mpidl.run."""

import sys

from mpidl.run.export import main

if __name__ == "__main__":
    sys.exit(main())
