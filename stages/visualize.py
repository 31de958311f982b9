"""Draws what the scores mean, into `reports/`: overlays, heatmaps, comparisons, curves, and one page with them all."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.records import read_records
from nerveseg.evaluation.model_names import SHIPPED, shown
from nerveseg.files.atomic import fresh_folder, read_csv
from nerveseg.params.file import load_params
from nerveseg.processes.stage import stage_process, undisturbed
from nerveseg.refinement.outcome import Refinement
from nerveseg.reporting.ablation_summary import shipped, verdict
from nerveseg.reporting.case_browser import Gallery, fitting_rung
from nerveseg.reporting.case_selection import chosen
from nerveseg.reporting.charts import charts
from nerveseg.reporting.figures.augmentation_preview import augmentation_preview
from nerveseg.reporting.figures.canvas import LOOKS
from nerveseg.reporting.figures.degradation_gallery import degradation_gallery
from nerveseg.reporting.figures.pictures import comparison, heatmaps, overlays, uncertainties
from nerveseg.reporting.figures.plots import dice_distribution, robustness, threshold_curves, training_curves
from nerveseg.reporting.figures.reliability import trust
from nerveseg.reporting.page import write_report
from nerveseg.reporting.predicted_cases import examine
from nerveseg.reporting.provenance import CutoffRow, origin_of
from nerveseg.saved_models.loading import load_predictor
from nerveseg.training.distribution import make_deterministic

PROCESSED = Path("data/processed")
METRICS, OUTPUT = Path("metrics"), Path("reports")
TABLES = ("robustness", "intervals", "unet_history", "gan_history")
BY_MODEL = ("cases", "thresholds", "calibration")
GAN = Path("models/gan")
MODELS = {"unet": Path("models/unet"), SHIPPED: Path("models/exported")}
FIGURES = {
    "comparison.png": ("Comparison", "The best, the median and the worst frames by the Dice of the model that ships: frame, annotation, U-Net, the model that ships, and where its mask is right or wrong."),
    "overlays.png": ("Overlays", "Outlines of the annotation, of the U-Net and of the model that ships on the same frames."),
    "heatmaps.png": ("Probability", "How sure each model is that a pixel belongs to a nerve."),
    "uncertainty.png": ("Uncertainty", "Where the model that ships is right and wrong, and how unsure it is of each pixel, from the frame and its mirror image."),
    "dice.png": ("Dice by subject and by nerve size", "Each point is a test frame with a nerve."),
    "robustness.png": ("Robustness", "Dice and distance of the outlines on test frames that were degraded on purpose: the U-Net, each refiner of it, and an ensemble where there is one, the distance in the frames that all of them outline; dotted: the average train mask."),
    "augmentations.png": ("Augmentations", "Variants of train frames that the U-Net learns from, under the outlines of their annotations."),
    "degradations.png": ("Degradations", "One frame in every way and at every severity in which frames are degraded, under the outline of its annotation."),
    "thresholds.png": ("Thresholds", "Scores on test at other thresholds than the one that val chose."),
    "trust.png": ("Trust", "Whether probabilities mean what they say: of the pixels, and of there being a nerve; and precision against recall."),
    "training.png": ("Training", "Losses and Dice on val by epoch; of the refiner, epoch 0 is the U-Net as it came."),
}  # fmt: skip


def visualize() -> None:
    params = load_params()
    dpi = params.visualize.dpi
    make_deterministic(params.seed)
    with fresh_folder(OUTPUT) as folder, undisturbed("visualize", params):
        metrics = json.loads((METRICS / "metrics.json").read_text(encoding="utf-8"))
        robust, bounds, unet_history, gan_history = (read_csv(METRICS / f"{name}.csv") for name in TABLES)
        scores, thresholds, reliability = (
            table[table["model"].isin(shown(metrics))]
            for table in (read_csv(METRICS / f"{name}.csv") for name in BY_MODEL)
        )
        dice_distribution(scores, folder / "dice.png", dpi)
        robustness(robust, metrics, folder / "robustness.png", dpi)
        threshold_curves(thresholds, metrics, folder / "thresholds.png", dpi)
        trust(scores, reliability, thresholds, folder / "trust.png", dpi)
        training_curves(unet_history, gan_history, folder / "training.png", dpi)
        info = DatasetInfo.read(PROCESSED)
        train = list(read_records(shards(PROCESSED, "train"), info))
        augmentation_preview(train, params.augment, params.seed, folder / "augmentations.png", dpi)
        records = list(read_records(shards(PROCESSED, "test"), info))
        ranks = chosen(scores, params.visualize.cases)
        best = next(record for record in records if record.name == next(iter(ranks)))
        degradation_gallery(
            best.frame, best.mask > 127, params.degradation, params.seed, folder / "degradations.png", dpi
        )
        gallery = Gallery(scores, fitting_rung([record.as_read for record in records]))
        models = {name: load_predictor(path) for name, path in MODELS.items()}
        picked = [case for case in gallery.passing(examine(records, models, scores, ranks)) if case.rank]
        cases = sorted(picked, key=lambda case: list(ranks).index(case.name))
        for draw, name in (
            (comparison, "comparison"),
            (overlays, "overlays"),
            (heatmaps, "heatmaps"),
            (uncertainties, "uncertainty"),
        ):
            draw(cases, folder / f"{name}.png", dpi)
        refinement = Refinement.read(GAN)
        write_report(
            folder / "index.html",
            metrics,
            bounds,
            params.model_dump(),
            _facts(info),
            [(title, caption, folder / name) for name, (title, caption) in FIGURES.items()],
            [*shipped(metrics), verdict(robust, refinement), *refinement.remarks],
            gallery.document(),
            charts(metrics, scores, robust, thresholds, unet_history),
            origin_of(info),
            {LOOKS[name].label: CutoffRow.of(model.cutoffs, params.postprocess) for name, model in models.items()},
        )
    print(f"{len(FIGURES)} figures and {OUTPUT / 'index.html'}")


def _facts(info: DatasetInfo) -> dict[str, Any]:
    facts = asdict(info)
    del facts["warnings"]
    return {"source": facts.pop("source"), **facts.pop("input"), **facts}


if __name__ == "__main__":
    with stage_process():
        visualize()
