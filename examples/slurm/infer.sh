#!/bin/sh
# Prediction over a split by an array of jobs: each takes its share of the rows and writes its own file, which is whole or
# absent. A job that is run again skips what it has done.
#
#   id=$(sbatch --parsable --array=0-15 examples/slurm/infer.sh runs/a/model.onnx imagenet train predictions)
#   sbatch --dependency=afterok:$id examples/slurm/merge.sh predictions train
#
# All of these may be in a bucket: s3://runs/a/model.onnx s3://images/imagenet train s3://images/predictions.
#SBATCH --job-name=synshard-infer
#SBATCH --cpus-per-task=8
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
model=$1 dataset=$2 split=$3 out=$4
case $out in *://*) ;; *) mkdir -p "$out" ;; esac # a bucket has no directories to make
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" synshard infer "$model" "$dataset" --split "$split" --job auto --progress lines \
	--out "$(printf '%s/%s-%05d.arrow' "$out" "$split" "$SLURM_ARRAY_TASK_ID")"
code=$?
[ $code -ne 75 ] || scontrol requeue "$SLURM_JOB_ID"
[ $code -ne 3 ] || code=0 # images could not be read: their rows say why
exit $code
