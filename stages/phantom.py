"""Simulate the embedded data set: frames `S_N.tif` and masks `S_N_mask.tif` in `data/phantom/`."""

import os
from pathlib import Path

from nerveseg.errors import DatasetError
from nerveseg.files.atomic import fresh_folder
from nerveseg.params.file import load_params
from nerveseg.phantom.simulation import foreign_files, write_phantom
from nerveseg.processes import progress
from nerveseg.processes.stage import stage_process, undisturbed

OUTPUT = Path("data/phantom")
MOST_WORKERS = 8  # each holds about 150 MB; the frames are the same with any number


def phantom() -> None:
    params = load_params()
    if foreign := foreign_files(OUTPUT):
        raise DatasetError(
            f"{OUTPUT} holds files that this stage did not write, such as {foreign[0].name} (of {len(foreign):,}), and would replace; "
            "move them to a folder below data/raw and set data.dir to it"
        )
    workers = min(os.cpu_count() or 1, MOST_WORKERS, params.phantom.subjects)
    with fresh_folder(OUTPUT) as folder, undisturbed("phantom", params):
        frames, nerves = write_phantom(folder, params.phantom, params.seed, workers)
        progress.facts({"frames": frames, "prevalence": nerves / frames})
        print(f"{OUTPUT}: {frames} frames of {params.phantom.subjects} subjects, {nerves} with a nerve")


if __name__ == "__main__":
    with stage_process():
        phantom()
