#!/bin/bash
#SBATCH --job-name=nerveseg
#SBATCH --array=0-4
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=nerveseg-%A-%a.log
# A cross-validation as a SLURM job array: each task runs one fold as a DVC experiment, on whichever node is free. In the root
# of a clone that all nodes see, after `make setup` and a commit:
#
#     export MLFLOW_TRACKING_URI=https://mlflow.example.org
#     sbatch docs/slurm/folds.sh -S unet.epochs=40
#
# The words after the script's name go to each `dvc exp run`. For 10 folds, type `sbatch --array=0-9 docs/slurm/folds.sh`.
set -euo pipefail
: "${MLFLOW_TRACKING_URI:?set it to an MLflow server that all nodes reach}"
shared=$SLURM_SUBMIT_DIR
name=fold-$SLURM_ARRAY_TASK_ID-of-job-$SLURM_ARRAY_JOB_ID
work=$shared/.nerveseg/slurm/$name  # DVC locks a clone while it runs an experiment, so each task has its own
[ -d "$work" ] || git clone --quiet "$shared" "$work"  # a task that SLURM starts again resumes after its last epoch
cd "$work"
PATH=$shared/.venv/bin:$PATH
dvc cache dir --local "$shared/.dvc/cache"  # what one task has run, another need not run again
git ls-files -z '*.dvc' | xargs --null --no-run-if-empty dvc checkout --quiet
dvc exp run --name "$name" -S "split.folds=$SLURM_ARRAY_TASK_COUNT" -S "split.fold=$SLURM_ARRAY_TASK_ID" "$@"
dvc exp push --no-cache origin "$name"  # origin is the shared clone
rm -rf "$work"
