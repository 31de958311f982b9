"""Draw the report into `reports/`: overlays, heatmaps, comparisons, curves, and one page with them all."""

from pathlib import Path

import numpy as np

from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.records import read_records
from nerveseg.evaluation.model_names import SHIPPED, shown
from nerveseg.evaluation.rescued_frame import read_rescue
from nerveseg.evaluation.score_table import Scores
from nerveseg.evaluation.stored_predictions import StoredPredictions
from nerveseg.files.atomic import fresh_folder, read_csv, read_json
from nerveseg.params.file import load_params
from nerveseg.processes.stage import stage_process, undisturbed
from nerveseg.refinement.outcome import Refinement
from nerveseg.reporting.ablation_summary import findings
from nerveseg.reporting.case_browser import Gallery, fitting_rung
from nerveseg.reporting.case_selection import chosen
from nerveseg.reporting.charts import charts
from nerveseg.reporting.figures.captions import FIGURES, SUMMARY, lead
from nerveseg.reporting.figures.previews import augmentation_preview, degradation_gallery
from nerveseg.reporting.figures.score_figures import draw_cases, draw_scores
from nerveseg.reporting.page import write_report
from nerveseg.reporting.predicted_cases import predicted_cases, rescued_case
from nerveseg.reporting.provenance import cutoff_rows, facts_of, remarks_on, summary_of

PROCESSED, PREDICTIONS, DEGRADED = Path("data/processed"), Path("data/predictions"), Path("data/degraded")
METRICS, OUTPUT = Path("metrics"), Path("reports")
TABLES, BY_MODEL = ("robustness", "scores", "unet_history", "gan_history"), ("cases", "thresholds", "calibration")


def visualize() -> None:
    params = load_params()
    dpi = params.visualize.dpi
    with fresh_folder(OUTPUT) as folder, undisturbed("visualize", params):
        metrics = read_json(METRICS / "metrics.json")
        robust, table, unet, gan = (read_csv(METRICS / f"{name}.csv") for name in TABLES)
        scores = Scores(table)
        cases, thresholds, reliability = (
            of[of["model"].isin(shown(metrics))] for of in (read_csv(METRICS / f"{name}.csv") for name in BY_MODEL)
        )
        draw_scores(folder, scores, cases, robust, thresholds, reliability, unet, gan, dpi)
        info = DatasetInfo.read(PROCESSED)
        train = list(read_records(shards(PROCESSED, "train"), info))
        augmentation_preview(train, params.augment, params.seed, folder / "augmentations.png", dpi)
        records = list(read_records(shards(PROCESSED, "test"), info))
        said = StoredPredictions(PREDICTIONS, np.stack([record.frame for record in records]))
        cut = cutoff_rows(said.info.cutoffs, shown(metrics), params.postprocess)  # first: refuses other frames
        ranks = chosen(cases, params.visualize.cases)
        best = next(record for record in records if record.name == [*ranks][-1])
        degradation_gallery(best, params.degradation, params.seed, folder / "degradations.png", dpi)
        gallery = Gallery(cases, fitting_rung([record.as_read for record in records]))
        every = predicted_cases(records, said, ("unet", SHIPPED), cases, ranks)
        picked = [case for case in gallery.passing(every) if case.rank]
        rescue = read_rescue(DEGRADED, metrics["shipped"]["arm"])
        print("drawing the cases", flush=True)
        draw_cases(folder, picked, ranks, rescued_case(records, rescue), dpi)
        write_report(
            folder / "index.html",
            metrics,
            scores,
            params.model_dump(),
            facts_of(info),
            [(*told, folder / name) for name, told in FIGURES.items()],
            findings(robust, Refinement.read(Path("models/gan")), metrics, rescue),
            gallery.document(),
            charts(scores, cases, robust, thresholds, unet),
            remarks_on(info),
            cut,
            summary_of(info, metrics, cut),
            (*lead(rescued=rescue is not None), folder / SUMMARY),
        )
    print(f"{len(FIGURES)} figures and {OUTPUT / 'index.html'}")


if __name__ == "__main__":
    with stage_process():
        visualize()
