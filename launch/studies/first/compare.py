"""OOD level of every run of a study beside the settings in which runs differ.

python compare.py FOLDER
"""

import sys

import mpidl


def level(run):
    """Area under the curve by the trapezoid rule over its length, mean over devices."""
    curve = run.ood_accuracy_mixed.mean("device").dropna("round")
    if len(curve) < 2:
        return float(curve.mean())
    return float(curve.integrate("round") / (curve["round"][-1] - curve["round"][0]))


study = mpidl.open_study(sys.argv[1])
table = study.settings.copy()
table["OOD level"] = [level(study[name]) for name in study]
print(table.sort_values("OOD level").round(3).to_string())
