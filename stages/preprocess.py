"""Checks the frames of `data.dir`, splits them by subject and packs them for training, into `data/processed/`.

`train-*`, `val-*` and `test-*.tfrecord` hold the records, `dataset.json` the size of the network's input and the
statistics of train, `manifest.csv` a row for each frame, `quarantine.csv` the files that were not used and why.
"""

from pathlib import Path

import pandas as pd

from nerveseg.data.preparation import inspect, pack
from nerveseg.errors import told_plainly
from nerveseg.outputs import fresh_folder, write_csv
from nerveseg.params import load_params
from nerveseg.tracking import stage_run

OUTPUT = Path("data/processed")


def preprocess() -> None:
    params = load_params()
    with stage_run("preprocess", params) as run, fresh_folder(OUTPUT) as folder:
        source = Path(params.data.dir)
        inspection = inspect(source, params.split, params.seed)
        write_csv(folder / "manifest.csv", inspection.manifest)
        quarantine = pd.DataFrame(inspection.quarantined, columns=["file", "reason"])
        write_csv(folder / "quarantine.csv", quarantine)
        info = pack(inspection, folder, params.preprocess)

        manifest = inspection.manifest
        run.log_dataset(source.name, info.digest[:32], info.source, "preprocessing", manifest)
        run.log_scores({f"frames.{split}": count for split, count in info.frames.items()})
        run.log_scores({"subjects": manifest["subject"].nunique(), "prevalence": manifest["has_nerve"].mean()})
        counts = ", ".join(f"{count} {split}" for split, count in info.frames.items())
        print(f"{source}: {len(manifest)} frames of {manifest['subject'].nunique()} subjects ({counts})")
        if len(quarantine):
            print(f"{len(quarantine)} files were not used; {OUTPUT / 'quarantine.csv'} says why")


if __name__ == "__main__":
    with told_plainly():
        preprocess()
