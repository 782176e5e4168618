#!/usr/bin/env python3
"""A stand-in for PBS's ``qstat -f -F json JOB``."""

import json
import os
import sys
from pathlib import Path

*options, number = sys.argv[1:]
if options != ["-f", "-F", "json"]:
    sys.exit(f"qstat: unknown options {options}")
job = json.loads((Path(os.environ["STAND_IN_PBS"]) / f"{number}.json").read_text())
print(json.dumps({"pbs_server": "stand-in", "Jobs": {number: job}}))
