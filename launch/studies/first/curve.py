"""Mean accuracy after every round, as a table; h5py alone.

python curve.py FILE.h5
"""

import sys

import h5py

with h5py.File(sys.argv[1], "r", locking=False) as file:
    done = int(file["rounds_done"][()])
    iid = file["series/iid_accuracy_mixed"][:done]
    ood = file["series/ood_accuracy_mixed"][:done]

print("round    IID    OOD")
for number, (inside, outside) in enumerate(zip(iid, ood, strict=True), 1):
    print(f"{number:5} {inside.mean():6.3f} {outside.mean():6.3f}")
