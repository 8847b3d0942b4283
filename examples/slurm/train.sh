#!/bin/sh
# A training run that outlives its time limit: Slurm's warning signal stops it with the state saved (exit 75), the job
# queues itself again, and the same command continues. One task a GPU: as many as --nodes and --ntasks-per-node make train
# together, each on its share of every batch.
#
#   sbatch --gpus-per-node 1 examples/slurm/train.sh imagenet runs/a --recipe szegedy2015
#   sbatch --nodes 2 --ntasks-per-node 8 --gpus-per-node 8 examples/slurm/train.sh imagenet runs/a --batch 4096
#SBATCH --job-name=synshard-train
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
dataset=$1 run=$2
shift 2
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" --kill-on-bad-exit=0 synshard train "$dataset" --out "$run" --progress lines "$@"
code=$?
[ $code -ne 75 ] || scontrol requeue "$SLURM_JOB_ID"
exit $code
