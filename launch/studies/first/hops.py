"""OOD accuracy after the last round by distance from the source; xarray.

python hops.py FILE.h5
"""

import sys

import mpidl

run = mpidl.open(sys.argv[1])
last = run.ood_accuracy_mixed.isel(round=-1)
by_hops = last.groupby("hops")
print(f"{run.attrs['strategy.name']} weights, after {run.attrs['rounds_done']} rounds")
print(by_hops.mean().to_dataframe()["ood_accuracy_mixed"].round(3).to_string())
