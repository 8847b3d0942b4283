#!/bin/sh
# The end of examples/slurm/infer.sh: one file of what its jobs wrote, and the figures of it.
#SBATCH --job-name=synshard-merge
#SBATCH --cpus-per-task=4
#SBATCH --requeue
#SBATCH --open-mode=append
out=$1 split=$2
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" synshard merge "$out/$split"-*.arrow --out "$out/$split.arrow" &&
	exec srun --cpus-per-task="$SLURM_CPUS_PER_TASK" synshard eval "$out/$split.arrow"
