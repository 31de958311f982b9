"""Scores the U-Net and the refined U-Net on the test subjects, where the annotator drew, and registers the model.

`metrics/metrics.json` holds the means, with the baselines that say what they are worth; `cases.csv` a row for each
frame and model; `robustness.csv` the scores on degraded frames; `thresholds.csv` the scores at other thresholds.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from nerveseg.data.degradation import DEGRADATIONS, degrade
from nerveseg.data.records import DatasetInfo, read_records, shards
from nerveseg.errors import told_plainly
from nerveseg.evaluation.baselines import empty_baseline, mean_mask, mean_mask_baseline
from nerveseg.evaluation.intervals import intervals
from nerveseg.evaluation.metrics import summarise
from nerveseg.evaluation.scoring import case_table, robustness_row, threshold_table
from nerveseg.outputs import write_csv, write_json
from nerveseg.params import load_params
from nerveseg.segmenter import Segmenter
from nerveseg.tracking import stage_run

PROCESSED, METRICS = Path("data/processed"), Path("metrics")
MODELS = {"unet": Path("models/unet"), "gan": Path("models/gan")}
STAGE_SEED = 0xE7A


def evaluate() -> None:
    params = load_params()
    with stage_run("evaluate", params) as run:
        info = DatasetInfo.read(PROCESSED)
        records = list(read_records(shards(PROCESSED, "test"), info))
        names, subjects = [record.name for record in records], [record.subject for record in records]
        truths = [record.annotated for record in records]
        sizes = [truth.shape for truth in truths]
        frames = np.stack([record.frame for record in records])
        metrics: dict[str, object] = {}
        cases, thresholds, robustness = [], [], []
        for model, directory in MODELS.items():
            segmenter = Segmenter.load(directory)
            cutoffs = segmenter.config.cutoffs
            maps = segmenter.restored(segmenter.probabilities(frames), sizes)
            cases.append(case_table(model, names, subjects, maps, truths, cutoffs))
            thresholds.append(threshold_table(model, maps, truths, cutoffs))
            metrics[model] = summarise(cases[-1])
            for number, kind in enumerate(DEGRADATIONS):
                robustness.append(robustness_row(model, kind, 0, maps, truths, cutoffs))
                for severity in params.evaluate.severities:
                    rng = np.random.default_rng([params.seed, STAGE_SEED, number, severity])
                    poor = np.stack([degrade(frame, kind, severity, rng) for frame in frames])
                    maps_of_poor = segmenter.restored(segmenter.probabilities(poor), sizes)
                    robustness.append(robustness_row(model, kind, severity, maps_of_poor, truths, cutoffs))
        average = mean_mask(record.mask for record in read_records(shards(PROCESSED, "train"), info))
        metrics["baseline_empty"] = empty_baseline(truths)
        metrics["baseline_mean_mask"] = mean_mask_baseline(average, truths)
        resamples, seed = params.evaluate.bootstrap, params.seed
        metrics["intervals"] = {
            model: intervals(table, resamples, seed) for model, table in zip(MODELS, cases, strict=True)
        }
        with_nerve = sum(bool(truth.any()) for truth in truths)
        metrics["counts"] = {"frames": len(records), "frames_with_nerve": with_nerve, "subjects": len(set(subjects))}

        write_csv(METRICS / "cases.csv", pd.concat(cases))
        write_csv(METRICS / "thresholds.csv", pd.concat(thresholds))
        write_csv(METRICS / "robustness.csv", pd.DataFrame(robustness))
        write_json(METRICS / "metrics.json", metrics)
        run.log_scores(metrics)
        run.log_model(segmenter.network, frames[:1, ..., np.newaxis].astype(np.float32), params.tracking.model_name)
        table = pd.DataFrame({key: metrics[key] for key in [*MODELS, "baseline_empty", "baseline_mean_mask"]})
        print(table.astype(float).round(3).to_string(na_rep="n/a"))


if __name__ == "__main__":
    with told_plainly():
        evaluate()
