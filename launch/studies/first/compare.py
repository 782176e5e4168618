"""Mean OOD accuracy of every run of a study beside the settings in which runs differ.

python compare.py FOLDER
"""

import sys

import mpidl

study = mpidl.open_study(sys.argv[1])
table = study.settings.copy()
table["OOD, mean of rounds"] = [float(study[name].ood_accuracy_mixed.mean()) for name in study]
print(table.sort_values("OOD, mean of rounds").round(3).to_string())
