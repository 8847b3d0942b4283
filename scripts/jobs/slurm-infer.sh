#!/bin/sh
# Prediction over a split by an array of jobs: each takes its part of the rows and writes its own file, which is whole or
# absent. A job that is run again skips what it has done.
#
#   sbatch --array=0-15 scripts/jobs/slurm-infer.sh runs/a/model.onnx imagenet train predictions
#SBATCH --job-name=synshard-infer
#SBATCH --cpus-per-task=8
#SBATCH --requeue
model=$1 dataset=$2 split=$3 out=$4
mkdir -p "$out"
exec srun synshard infer "$model" "$dataset" --split "$split" --job auto --progress lines \
	--out "$(printf '%s/%s-%05d.arrow' "$out" "$split" "$SLURM_ARRAY_TASK_ID")"
