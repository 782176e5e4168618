#!/bin/bash
#SBATCH --job-name=mpidl
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@60
# One run or an ensemble on a cluster with Slurm, submitted from the checkout; more in launch/README.md:
#   sbatch --nodes=1 --time=1:00:00 launch/slurm.sh run FILE.toml
#   sbatch --nodes=2 --time=1:00:00 launch/slurm.sh ensemble STUDY.toml
# What is loaded when it is submitted is loaded in the job. MPIDL_SITE names another site file; the log shows all of it.
trap '' USR1  # until there is work to warn
cd "$SLURM_SUBMIT_DIR" || exit 2
. launch/environment.sh || exit 2
exec python -m mpidl.ensemble.job --site "${MPIDL_SITE:-launch/sites/slurm.toml}" "$@"
