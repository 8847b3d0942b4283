#!/bin/sh
# The end of examples/slurm/ingest.sh. It reads no source, and may be run again.
#SBATCH --job-name=synshard-join
#SBATCH --cpus-per-task=4
#SBATCH --requeue
#SBATCH --open-mode=append
exec srun --cpus-per-task="$SLURM_CPUS_PER_TASK" synshard ingest --join --out "$1"
