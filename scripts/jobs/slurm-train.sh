#!/bin/sh
# One training run on one GPU that outlives its time limit: Slurm's warning signal stops it with the state saved
# (exit 75), the job queues itself again, and the same command continues.
#
#   sbatch scripts/jobs/slurm-train.sh imagenet runs/a --recipe szegedy2015
#SBATCH --job-name=synshard-train
#SBATCH --gpus=1
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
dataset=$1 run=$2
shift 2
srun synshard train "$dataset" --out "$run" --device cuda --progress lines "$@"
code=$?
[ $code -ne 75 ] || scontrol requeue "$SLURM_JOB_ID"
exit $code
