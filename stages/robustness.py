"""Score the U-Net, its refiners and the ensemble, if there is one, on degraded test frames: the ablation, `metrics/robustness.csv`.

`data/degraded` has the frame that the chosen refiner helps most, for the report.

The networks compute as in training, in bfloat16 where that is faster: the arms are compared with each other.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nerveseg.dataset.info import DatasetInfo, prepared, shards
from nerveseg.dataset.leakage import check_unseen
from nerveseg.dataset.records import read_records
from nerveseg.evaluation.model_names import ENSEMBLE
from nerveseg.evaluation.rescued_frame import Rescue, most_helped, write_rescue
from nerveseg.evaluation.robustness import ablation_table
from nerveseg.evaluation.test_set import TestSet
from nerveseg.files.atomic import fresh_folder, read_csv, write_csv
from nerveseg.imaging.arrays import Mask
from nerveseg.inference.postprocessing import Estimate
from nerveseg.params.fields import FRESH
from nerveseg.params.file import load_params
from nerveseg.processes.stage import stage_process, undisturbed
from nerveseg.refinement.ablation_arms import Arms
from nerveseg.refinement.outcome import Refinement
from nerveseg.saved_models.loading import load_trained
from nerveseg.training.distribution import keras_policy, make_deterministic
from nerveseg.unet.segmenter import Segmenter

PROCESSED, UNET, GAN = Path("data/processed"), Path("models/unet"), Path("models/gan")
DEGRADED, OUTPUT = Path("data/degraded"), Path("metrics/robustness.csv")


def robustness() -> None:
    params = load_params()
    with fresh_folder(DEGRADED) as folder, undisturbed("robustness", params):
        make_deterministic(params.seed)
        test = TestSet.of(list(read_records(shards(PROCESSED, "test"), DatasetInfo.read(PROCESSED))))
        policy = keras_policy(params.unet.precision)
        arms = Arms.load(GAN / "arms", Segmenter.load(UNET, policy), policy)
        named = params.evaluate.ensemble
        others = {} if named == FRESH else {ENSEMBLE: load_trained(Path(named))}
        manifest = read_csv(prepared(PROCESSED).file("manifest.csv"))
        for model in (arms.unet, *others.values()):
            check_unseen(model.learnt_frames, manifest, UNET if model is arms.unet else named)
        cutoffs = arms.cutoffs | {name: model.cutoffs for name, model in others.items()}

        def look(frames: NDArray[np.uint8]) -> dict[str, Iterator[Estimate]]:
            return arms.estimates(frames, test.sizes) | {
                name: model.estimates(frames, test.sizes) for name, model in others.items()
            }

        chosen, helped = Refinement.read(GAN), list[Rescue | None]()

        def show(kind: str, frames: NDArray[np.uint8], masks: Mapping[str, Iterable[Mask]]) -> None:
            if chosen.used:
                helped.append(most_helped(test, frames, kind, chosen.arm, masks))

        table = ablation_table(test, look, cutoffs, params.evaluate, params.degradation, params.seed, show)
        write_csv(OUTPUT, table)
        write_rescue(folder, helped)
    print(f"{len(table)} rows of {', '.join(dict.fromkeys(table['model']))} in {OUTPUT}")


if __name__ == "__main__":
    with stage_process():
        robustness()
