"""Scores the models on the test subjects, where the annotator drew. Once it has ended, `nerveseg.pipeline` registers the model
that ships.

`metrics/metrics.json` holds the means, with the baselines that say what they are worth; `cases.csv` a row for each frame
and model; `intervals.csv` each score with its 95 % interval; `strata.csv` the scores by presence, size of the nerve and
subject; `thresholds.csv` those at other thresholds; `calibration.csv` how often pixels of a probability are nerve;
`robustness.csv` the ablation, on clean and on degraded frames: the U-Net and each refiner of it. With an ensemble named in
`evaluate.ensemble` that is scored too, and ships instead of `gan`. What ships is `exported`; `export` in `metrics.json` says by
how much it differs from what was trained. All of it is written before anything is complained of.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.dataset.info import DatasetInfo, prepared, shards
from nerveseg.dataset.leakage import check_unseen
from nerveseg.dataset.records import read_records
from nerveseg.evaluation.baselines import mean_mask
from nerveseg.evaluation.calibration import reliability_table
from nerveseg.evaluation.export_parity import on_test
from nerveseg.evaluation.model_names import ENSEMBLE, GAN, SHIPPED, scored
from nerveseg.evaluation.robustness import ablation_table, degraded_scores
from nerveseg.evaluation.subgroups import strata_table
from nerveseg.evaluation.test_set import HeldOut
from nerveseg.evaluation.thresholds import threshold_table
from nerveseg.files.atomic import only_writer, read_csv, write_csv, write_json
from nerveseg.inference.postprocessing import Estimate
from nerveseg.inference.predictor import Predictor
from nerveseg.measures.intervals import interval_table
from nerveseg.params.fields import FRESH
from nerveseg.params.file import Params, load_params
from nerveseg.processes.stage import stage_process, undisturbed
from nerveseg.refinement.ablation_arms import Arms
from nerveseg.refinement.outcome import Refinement
from nerveseg.saved_models.loading import load_predictor
from nerveseg.saved_models.openvino_predictor import ExportedConfig
from nerveseg.training.distribution import make_deterministic
from nerveseg.unet.segmenter import Segmenter

PROCESSED, METRICS = Path("data/processed"), Path("metrics")
UNET, REFINED, EXPORTED = Path("models/unet"), Path("models/gan"), Path("models/exported")


def evaluate() -> None:
    params = load_params()
    with only_writer(METRICS / "metrics.json"), undisturbed("evaluate", params):
        make_deterministic(params.seed)
        info = DatasetInfo.read(PROCESSED)
        test = HeldOut.of(list(read_records(shards(PROCESSED, "test"), info)))
        average = mean_mask(record.mask for record in read_records(shards(PROCESSED, "train"), info))
        folders = _folders(params.evaluate.ensemble)
        models = _models(folders)
        cases = pd.concat([test.cases(name, _look(model, test), model.cutoffs) for name, model in models.items()])
        thresholds = [
            threshold_table(name, _look(model, test), test.truths, model.cutoffs) for name, model in models.items()
        ]
        reliability = pd.concat(
            [reliability_table(name, _look(model, test), test.truths) for name, model in models.items()]
        )
        robustness = _ablation(test, models, params)
        all_cases = test.all_cases(cases, average)
        bounds = interval_table(all_cases, params.evaluate.bootstrap, params.seed)
        metrics = test.metrics(all_cases, reliability, bounds)
        metrics["degraded"] = degraded_scores(robustness)
        shipped = ExportedConfig.read(EXPORTED)
        arm = Refinement.read(REFINED).arm if shipped.source == GAN else None
        metrics["shipped"] = {"source": shipped.source, "arm": arm, "precision": shipped.precision}
        metrics["export"] = on_test(
            cases,
            shipped.source,
            shipped.precision,
            params.export.max_difference,
            params.evaluate.bootstrap,
            params.seed,
        )
        write_csv(METRICS / "cases.csv", cases)
        write_csv(METRICS / "thresholds.csv", pd.concat(thresholds))
        write_csv(METRICS / "calibration.csv", reliability)
        write_csv(METRICS / "strata.csv", strata_table(all_cases, params.evaluate.bootstrap, params.seed))
        write_csv(METRICS / "intervals.csv", bounds)
        write_csv(METRICS / "robustness.csv", robustness)
        write_json(METRICS / "metrics.json", metrics)
        table = pd.DataFrame({key: metrics[key] for key in scored(metrics)})
        print(table.drop(index="frames_outlined").round(3).to_string(na_rep="n/a"))
        if warning := metrics["export"].get("warning"):
            print(f"warning: {warning}", file=sys.stderr)


def _folders(ensemble: str) -> dict[str, Path]:
    named = {} if ensemble == FRESH else {ENSEMBLE: Path(ensemble)}
    return {"unet": UNET, GAN: REFINED, **named, SHIPPED: EXPORTED}


def _models(folders: Mapping[str, Path]) -> dict[str, Predictor]:
    """By name; none has learnt from a test frame."""
    models = {name: load_predictor(folder) for name, folder in folders.items()}
    manifest = read_csv(prepared(PROCESSED).file("manifest.csv"))
    for name, model in models.items():
        if remark := check_unseen(model.learnt_frames, manifest, folders[name]):
            print(f"warning: {remark}", file=sys.stderr)
    return models


def _look(model: Predictor, test: HeldOut) -> Iterator[Estimate]:
    return model.estimates(test.frames, test.sizes)


def _ablation(test: HeldOut, models: Mapping[str, Predictor], params: Params) -> pd.DataFrame:
    arms = Arms.load(REFINED / "arms", Segmenter.load(UNET))
    others = {name: model for name, model in models.items() if name == ENSEMBLE}
    cutoffs = arms.cutoffs | {name: model.cutoffs for name, model in others.items()}

    def look(frames: NDArray[np.uint8]) -> dict[str, Iterator[Estimate]]:
        return arms.estimates(frames, test.sizes) | {
            name: model.estimates(frames, test.sizes) for name, model in others.items()
        }

    return ablation_table(test, look, cutoffs, params.evaluate, params.degradation, params.seed)


if __name__ == "__main__":
    with stage_process():
        evaluate()
