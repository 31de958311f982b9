"""Scores the U-Net and the refined U-Net on the test subjects, where the annotator drew, and registers the model.

With an ensemble named in `evaluate.ensemble` that is scored too, and registered instead.

`metrics/metrics.json` holds the means, with the baselines that say what they are worth; `cases.csv` a row for each
frame and model; `robustness.csv` the scores on degraded frames; `thresholds.csv` the scores at other thresholds.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.data.degradation import DEGRADATIONS, degrade
from nerveseg.data.records import DatasetInfo, Record, read_records, shards
from nerveseg.ensemble import load_predictor
from nerveseg.errors import told_plainly
from nerveseg.evaluation.baselines import empty_baseline, mean_mask, mean_mask_baseline
from nerveseg.evaluation.intervals import intervals
from nerveseg.evaluation.metrics import summarise
from nerveseg.evaluation.postprocessing import Estimate
from nerveseg.evaluation.scoring import case_table, robustness_row, threshold_table
from nerveseg.outputs import write_csv, write_json
from nerveseg.params import FRESH, Params, load_params
from nerveseg.predictor import Predictor, check_unseen, subject_keys
from nerveseg.tracking import stage_run
from nerveseg.training.distribution import make_deterministic

PROCESSED, METRICS = Path("data/processed"), Path("metrics")
MODELS = {"unet": Path("models/unet"), "gan": Path("models/gan")}
STAGE_SEED = 0xE7A


def evaluate() -> None:
    params = load_params()
    with stage_run("evaluate", params) as run:
        make_deterministic(params.seed)
        info = DatasetInfo.read(PROCESSED)
        records = list(read_records(shards(PROCESSED, "test"), info))
        truths, subjects = [record.annotated for record in records], {record.subject for record in records}
        ensemble = params.evaluate.ensemble
        folders = MODELS | ({} if ensemble == FRESH else {"ensemble": Path(ensemble)})
        predictors = {model: load_predictor(directory) for model, directory in folders.items()}
        keys = subject_keys(pd.read_csv(PROCESSED / "manifest.csv", dtype={"subject": str}))
        for model, predictor in predictors.items():
            check_unseen(predictor.subjects, {subject: keys[subject] for subject in sorted(subjects)}, folders[model])
        tables = {model: _tables(model, predictor, records, params) for model, predictor in predictors.items()}
        cases, thresholds, robustness = zip(*tables.values(), strict=True)
        average = mean_mask(record.mask for record in read_records(shards(PROCESSED, "train"), info))
        metrics: dict[str, object] = {
            **{model: summarise(rows) for model, rows in zip(folders, cases, strict=True)},
            "baseline_empty": empty_baseline(truths),
            "baseline_mean_mask": mean_mask_baseline(average, truths),
            "intervals": {
                model: intervals(rows, params.evaluate.bootstrap, params.seed)
                for model, rows in zip(folders, cases, strict=True)
            },
            "counts": {
                "frames": len(records),
                "frames_with_nerve": sum(bool(truth.any()) for truth in truths),
                "subjects": len(subjects),
            },
        }
        write_csv(METRICS / "cases.csv", pd.concat(cases))
        write_csv(METRICS / "thresholds.csv", pd.concat(thresholds))
        write_csv(METRICS / "robustness.csv", pd.concat(robustness))
        write_json(METRICS / "metrics.json", metrics)
        run.log_scores(metrics)
        for path in sorted(METRICS.glob("*.csv")):
            run.log_artifact(path, "metrics")
        example = records[0].frame[np.newaxis, ..., np.newaxis].astype(np.float32)
        run.log_model(predictors[list(folders)[-1]].network, example, params.tracking.model_name)
        shown = pd.DataFrame({key: metrics[key] for key in [*folders, "baseline_empty", "baseline_mean_mask"]})
        print(shown.astype(float).round(3).to_string(na_rep="n/a"))


def _tables(
    model: str, predictor: Predictor, records: list[Record], params: Params
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Scores of one model by case, by threshold, and on degraded frames."""
    truths, cutoffs = [record.annotated for record in records], predictor.cutoffs

    def estimates(frames: NDArray[np.uint8]) -> Iterator[Estimate]:
        return predictor.estimates(frames, (truth.shape for truth in truths))

    frames = np.stack([record.frame for record in records])
    cases = case_table(estimates(frames), truths, cutoffs)
    robustness = []
    for number, kind in enumerate(DEGRADATIONS):
        robustness.append(robustness_row(model, kind, 0, cases))
        for severity in params.evaluate.severities:
            rng = np.random.default_rng([params.seed, STAGE_SEED, number, severity])
            poor = np.stack([degrade(frame, kind, severity, rng) for frame in frames])
            robustness.append(robustness_row(model, kind, severity, case_table(estimates(poor), truths, cutoffs)))
    names, subjects = [record.name for record in records], [record.subject for record in records]
    return (
        pd.DataFrame({"frame": names, "subject": subjects, "model": model}).join(cases),
        threshold_table(model, estimates(frames), truths, cutoffs),
        pd.DataFrame(robustness),
    )


if __name__ == "__main__":
    with told_plainly():
        evaluate()
