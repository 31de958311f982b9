"""Checks the frames of `data.dir`, splits them by subject and packs them for training, into `data/processed/`.

`train-*`, `val-*` and `test-*.tfrecord` hold the records, `dataset.json` the size of the network's input and the
statistics of train. `manifest.csv` has a row for each frame that is used, `quarantine.csv` one for each file that is
not, with the reason; `remarks.csv` tells what is odd about frames in use, `conflicts.csv` which labels contradict each
other.
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
        print(
            f"{info.source}: "
            + ", ".join(f"{counted(count, 'frame')} for {split}" for split, count in info.frames.items())
        )
        for warning in inventory.warnings:
            print(f"warning: {on_one_line(warning)}", file=sys.stderr)
        if inventory.quarantined:
            print(
                f"{counted(len(inventory.quarantined), 'file')} left out; {OUTPUT / 'quarantine.csv'} says why and what to do"
            )


if __name__ == "__main__":
    with stage_process():
        preprocess()
