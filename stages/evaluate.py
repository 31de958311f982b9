"""Score the stored predictions of the test frames.

Writes `metrics/metrics.json`, the headline scores, and beside it `scores.csv`, every score of models and baselines with its 95 %
interval; `cases.csv`, a row for each frame and model; `strata.csv`, scores by presence, size of the nerve and subject;
`thresholds.csv`, scores at other thresholds; `calibration.csv`, how often pixels of a probability are nerve.
"""

import sys
from functools import partial
from pathlib import Path

import pandas as pd

from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.records import read_records
from nerveseg.evaluation.baselines import mean_mask
from nerveseg.evaluation.calibration import reliability_table
from nerveseg.evaluation.export_parity import on_test
from nerveseg.evaluation.model_names import BASE
from nerveseg.evaluation.robustness import degraded_scores, doubt
from nerveseg.evaluation.score_table import Scores, headline, score_table
from nerveseg.evaluation.stored_predictions import StoredPredictions
from nerveseg.evaluation.subgroups import strata_table
from nerveseg.evaluation.test_set import TestSet
from nerveseg.evaluation.thresholds import threshold_table
from nerveseg.files.atomic import only_writer, read_csv, write_csv, write_json
from nerveseg.params.file import load_params
from nerveseg.processes.stage import stage_process, undisturbed

PROCESSED, PREDICTIONS, METRICS = Path("data/processed"), Path("data/predictions"), Path("metrics")


def evaluate() -> None:
    params = load_params()
    resamples, seed = params.evaluate.bootstrap, params.seed
    with only_writer(METRICS / "metrics.json"), undisturbed("evaluate", params):
        info = DatasetInfo.read(PROCESSED)
        test = TestSet.of(list(read_records(shards(PROCESSED, "test"), info)))
        said = StoredPredictions(PREDICTIONS, test.frames)
        average = mean_mask(record.mask for record in read_records(shards(PROCESSED, "train"), info))
        cutoffs, shipped = said.info.cutoffs, said.info.shipped
        look = partial(said.estimates, sizes=test.sizes)
        print(f"scoring {len(test.frames)} test frames", flush=True)
        cases = pd.concat([test.cases(name, look(name), cut) for name, cut in cutoffs.items()])
        thresholds = pd.concat([threshold_table(name, look(name), test.truths, cut) for name, cut in cutoffs.items()])
        reliability = pd.concat([reliability_table(name, look(name), test.truths) for name in cutoffs])
        print("drawing subjects for the intervals", flush=True)
        all_cases = test.all_cases(cases, average)
        table = score_table(all_cases, reliability, resamples, seed)
        ablation = read_csv(METRICS / "robustness.csv")
        allowed = params.export.max_difference
        export = on_test(cases, shipped.source, shipped.precision, allowed, resamples, seed)
        of_one = cases[cases["model"] == BASE]
        metrics = headline(Scores(table), of_one, info, degraded_scores(ablation), shipped, export)
        write_csv(METRICS / "cases.csv", cases)
        write_csv(METRICS / "thresholds.csv", thresholds)
        write_csv(METRICS / "calibration.csv", reliability)
        write_csv(METRICS / "strata.csv", strata_table(all_cases, resamples, seed))
        write_csv(METRICS / "scores.csv", table)
        write_json(METRICS / "metrics.json", metrics)
        for warning in filter(None, (export.get("warning"), doubt(ablation, metrics[BASE]["dice"]))):
            print(f"warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    with stage_process():
        evaluate()
