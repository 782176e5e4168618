"""What ALCF demands of a job, as a hook of PBS; its Python has no other modules."""

import pbs

event = pbs.event()
job = event.job
if job.Account_Name is None:
    event.reject("no account: use -A")
for name in ("select", "walltime", "filesystems"):
    if job.Resource_List[name] is None:
        event.reject(f"no {name}: use -l {name}=")
if ">-V<" in str(job.Submit_arguments):
    event.reject("-V is not allowed")
job.Keep_Files = pbs.keep_files("doe")
