#!/usr/bin/env bash
# Dynamics in LAMMPS, a rank for each core; the input begins with the restart file if there is one (docs/hpc.md).
#   sbatch scripts/slurm/lammps.sh runs/mine in.silicon [--elements Si]
#SBATCH --job-name=lammps
#SBATCH --account=project
#SBATCH --partition=cpu
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=64
#SBATCH --cpus-per-task=1
#SBATCH --mem=128G
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.log
# Two minutes before the time is up SLURM sends SIGUSR1 to what srun started (B:USR1 would warn this shell alone).
#SBATCH --signal=USR1@120
# The job may go back into the queue, and then goes on with its log.
#SBATCH --requeue
#SBATCH --open-mode=append
set -eo pipefail

# Yours, besides account, partition and size: how a shell finds mlip.
# In a container: mlip=(apptainer exec mlip.sif mlip)
# module load python
source .venv/bin/activate
mlip=(mlip)
restarts=100 # after so many the job is not put back
set -u # only now: module systems and activate scripts use unset variables

# srun does not take the number of cores from sbatch.
export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"
export OMP_NUM_THREADS=1

status=0
# mlip ends all tasks itself when one fails; SLURM must not kill those that are still saving.
srun --kill-on-bad-exit=0 "${mlip[@]}" lammps "$@" || status=$?
# 75: stopped by the warning, everything saved; the same command goes on.
if [ "$status" -eq 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "$restarts" ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
