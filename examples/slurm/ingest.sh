#!/bin/sh
# One dataset by an array of jobs, on as many machines as there are: each does its share in the directory that all see,
# and the join, which begins when all are done, makes the bytes of one machine. A job that is run again skips what it has.
#
#   id=$(sbatch --parsable --array=0-15 examples/slurm/ingest.sh imagenet21k fall11_whole.tar)
#   sbatch --dependency=afterok:$id examples/slurm/join.sh imagenet21k
#
# Both may be in a bucket: s3://images/imagenet21k s3://raw/fall11_whole.tar. What is in work lies in $TMPDIR then.
#SBATCH --job-name=synshard-ingest
#SBATCH --cpus-per-task=8
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
out=$1
shift
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" synshard ingest "$@" --out "$out" --job auto --progress lines
code=$?
[ $code -ne 75 ] || scontrol requeue "$SLURM_JOB_ID" # warned by the signal above: the next try continues
[ $code -ne 3 ] || code=0                             # images were refused: the join tells of them, and ends with 3
exit $code
