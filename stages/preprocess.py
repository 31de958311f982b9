"""Stage `preprocess`: check the frames of `data.dir`, split them by subject and pack them for training.

Writes `data/processed/`: `train-*`, `val-*` and `test-*.tfrecord` with the records, `dataset.json` with the size of the
network's input and the statistics of train. `manifest.csv` lists each frame in use, `quarantine.csv` each file that is not used,
with the reason, `remarks.csv` what is odd about frames in use, and `conflicts.csv` labels that contradict each other.
"""

import sys
from pathlib import Path

from nerveseg.files.atomic import fresh_folder
from nerveseg.params.file import load_params
from nerveseg.preprocessing.packing import prepare_dataset
from nerveseg.processes import progress
from nerveseg.processes.stage import stage_process, undisturbed
from nerveseg.repository import repository_root
from nerveseg.text.foreign_text import on_one_line
from nerveseg.text.wording import counted

OUTPUT = Path("data/processed")


def preprocess() -> None:
    params = load_params()
    with fresh_folder(OUTPUT) as folder, undisturbed("preprocess", params):
        inventory, info = prepare_dataset(
            folder, params.data, params.split, params.preprocess, params.seed, repository_root()
        )
        manifest = inventory.manifest[inventory.manifest["split"] != ""]
        progress.facts({f"frames.{split}": count for split, count in info.frames.items()})
        progress.facts({"subjects": manifest["subject"].nunique(), "prevalence": manifest["has_nerve"].mean()})
        print(inventory)
        parts = [f"{counted(count, 'frame')} for {split}" for split, count in info.frames.items()]
        print(f"{info.source}: {', '.join(parts)}")
        for warning in inventory.warnings:
            print(f"warning: {on_one_line(warning)}", file=sys.stderr)
        if left_out := len(inventory.quarantined):
            print(f"{counted(left_out, 'file')} left out; {OUTPUT / 'quarantine.csv'} says why and what to do")


if __name__ == "__main__":
    with stage_process():
        preprocess()
