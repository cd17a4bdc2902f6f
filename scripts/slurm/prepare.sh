#!/usr/bin/env bash
# Write the store that a training streams, on a node without GPUs, by as many workers as there are cores.
#   sbatch scripts/slurm/prepare.sh config.yaml [--features] [--output FILE] [key.path=value ...]
#SBATCH --job-name=prepare
#SBATCH --account=project
#SBATCH --partition=cpu
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
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

status=0
# mlip ends all tasks itself when one fails; SLURM must not kill those that are still saving.
srun --kill-on-bad-exit=0 "${mlip[@]}" prepare --workers "$SLURM_CPUS_PER_TASK" "$@" || status=$?
# 75: stopped by the warning, everything saved; the same command goes on.
if [ "$status" -eq 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "$restarts" ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
