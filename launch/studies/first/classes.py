"""Which classes each device knows after the last round; xarray and pandas.

python classes.py FILE.h5
"""

import sys

import mpidl

run = mpidl.open(sys.argv[1])
accuracy = run.iid_class_accuracy_mixed.isel(round=-1)
table = accuracy.to_pandas()
table["samples"] = run.samples.to_series()
print(table.round(2).to_string())
