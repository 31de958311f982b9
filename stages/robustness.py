"""Score the U-Net, its refiners and the ensemble, if there is one, on degraded test frames: the ablation, `metrics/robustness.csv`.

The networks compute as in training, in bfloat16 where that is faster: the arms are compared with each other.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nerveseg.dataset.info import DatasetInfo, prepared, shards
from nerveseg.dataset.leakage import check_unseen
from nerveseg.dataset.records import read_records
from nerveseg.evaluation.model_names import ENSEMBLE
from nerveseg.evaluation.robustness import ablation_table
from nerveseg.evaluation.test_set import TestSet
from nerveseg.files.atomic import only_writer, read_csv, write_csv
from nerveseg.inference.postprocessing import Estimate
from nerveseg.params.fields import FRESH
from nerveseg.params.file import load_params
from nerveseg.processes.stage import stage_process, undisturbed
from nerveseg.refinement.ablation_arms import Arms
from nerveseg.saved_models.loading import load_trained
from nerveseg.training.distribution import keras_policy, make_deterministic
from nerveseg.unet.segmenter import Segmenter

PROCESSED, OUTPUT = Path("data/processed"), Path("metrics/robustness.csv")
UNET, ARMS = Path("models/unet"), Path("models/gan/arms")


def robustness() -> None:
    params = load_params()
    with only_writer(OUTPUT), undisturbed("robustness", params):
        make_deterministic(params.seed)
        test = TestSet.of(list(read_records(shards(PROCESSED, "test"), DatasetInfo.read(PROCESSED))))
        policy = keras_policy(params.unet.precision)
        arms = Arms.load(ARMS, Segmenter.load(UNET, policy), policy)
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

        table = ablation_table(test, look, cutoffs, params.evaluate, params.degradation, params.seed)
        write_csv(OUTPUT, table)
    print(f"{len(table)} rows of {', '.join(dict.fromkeys(table['model']))} in {OUTPUT}")


if __name__ == "__main__":
    with stage_process():
        robustness()
