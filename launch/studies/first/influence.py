"""Who decides what all agree on: devices by their long-run influence; h5py alone.

python influence.py FILE.h5
"""

import sys

import h5py
import numpy as np

with h5py.File(sys.argv[1], "r", locking=False) as file:
    if "stationary" not in file["graph"]:
        sys.exit("This run has no fixed mixing matrix, so no long-run influence.")
    influence = file["graph/stationary"][()]
    edges = file["graph/edges"][()]
    source = file["placement/source"][()]

heard = np.bincount(edges[:, 1], minlength=len(influence))
print("device  links  influence")
for device in np.argsort(-influence, kind="stable")[:10]:
    mark = "  OOD source" if source[device] else ""
    print(f"{device:6} {heard[device]:6} {influence[device]:10.4f}{mark}")
