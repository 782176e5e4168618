#!/bin/sh
# rsh for Hydra: runs a command on another node of a job of PBS, where it ends with the job.
host=$1
shift
exec pbs_tmrsh "$host" /bin/sh -c "$*"
