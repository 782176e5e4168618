#!/usr/bin/env python3
"""A stand-in for PBS's ``qstat [-x] -f -F json JOB...``."""

import json
import os
import sys
from pathlib import Path

words = [word for word in sys.argv[1:] if word != "-x"]
if words[:3] != ["-f", "-F", "json"]:
    sys.exit(f"qstat: unknown options {words}")
folder = Path(os.environ["STAND_IN_PBS"])
jobs = {number: json.loads((folder / f"{number}.json").read_text()) for number in words[3:]}
print(json.dumps({"pbs_server": "stand-in", "Jobs": jobs}))
