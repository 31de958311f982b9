"""Draws what the scores mean, into `reports/`: overlays, heatmaps, comparisons, curves, and one page with them all."""

import json
from pathlib import Path

import pandas as pd

from nerveseg.data.letterbox import Frame, Mask
from nerveseg.data.records import DatasetInfo, read_records, shards
from nerveseg.errors import told_plainly
from nerveseg.outputs import fresh_folder
from nerveseg.params import load_params
from nerveseg.refinement import Refinement
from nerveseg.reporting.degradation_gallery import degradation_gallery
from nerveseg.reporting.pictures import Case, comparison, heatmaps, overlays
from nerveseg.reporting.plots import dice_distribution, robustness, threshold_curves, training_curves
from nerveseg.reporting.report import write_report
from nerveseg.reporting.trust import trust
from nerveseg.reporting.verdict import verdict
from nerveseg.segmenter import Segmenter
from nerveseg.tracking import stage_run
from nerveseg.training.distribution import make_deterministic

PROCESSED, METRICS, OUTPUT = Path("data/processed"), Path("metrics"), Path("reports")
MODELS = {"unet": Path("models/unet"), "gan": Path("models/gan")}
FIGURES = {
    "comparison.png": ("Comparison", "From the best to the worst: frame, annotation, U-Net, the model that ships, and where its mask is right or wrong."),
    "overlays.png": ("Overlays", "Outlines of the annotation, of the U-Net and of the model that ships on the same frames."),
    "heatmaps.png": ("Probability", "How sure each model is that a pixel belongs to a nerve."),
    "dice.png": ("Dice by subject and by nerve size", "Each point is a test frame with a nerve."),
    "robustness.png": ("Robustness", "Dice and distance of the outlines on test frames that were degraded on purpose: the U-Net, and each refiner of it."),
    "degradations.png": ("Degradations", "One frame in every way and at every severity in which frames are degraded, under the outline of its annotation."),
    "thresholds.png": ("Thresholds", "Scores on test at other thresholds than the one that val chose."),
    "trust.png": ("Trust", "Whether probabilities mean what they say: of the pixels, and of there being a nerve; and precision against recall."),
    "training.png": ("Training", "Losses and Dice on val by epoch; of the refiner, epoch 0 is the U-Net as it came."),
}  # fmt: skip


def visualize() -> None:
    params = load_params()
    dpi = params.visualize.dpi
    make_deterministic(params.seed)
    with stage_run("visualize", params) as run, fresh_folder(OUTPUT) as folder:
        metrics = json.loads((METRICS / "metrics.json").read_text(encoding="utf-8"))
        tables = {name: pd.read_csv(METRICS / f"{name}.csv") for name in ("robustness", "thresholds", "calibration")}
        unet_history, gan_history = (pd.read_csv(METRICS / f"{stage}_history.csv") for stage in ("unet", "gan"))
        scores = pd.read_csv(METRICS / "cases.csv", dtype={"frame": str, "subject": str})
        names = chosen(scores, params.visualize.cases)
        cases = _cases(names, scores)
        comparison(cases, folder / "comparison.png", dpi)
        overlays(cases, folder / "overlays.png", dpi)
        heatmaps(cases, folder / "heatmaps.png", dpi)
        dice_distribution(scores, folder / "dice.png", dpi)
        robustness(tables["robustness"], folder / "robustness.png", dpi)
        threshold_curves(tables["thresholds"], folder / "thresholds.png", dpi)
        trust(scores, tables["calibration"], tables["thresholds"], folder / "trust.png", dpi)
        training_curves(unet_history, gan_history, folder / "training.png", dpi)
        degradation_gallery(
            *_at_network_size(names[0]), params.degradation, params.seed, folder / "degradations.png", dpi
        )
        refinement = Refinement.read(MODELS["gan"])
        findings = [verdict(tables["robustness"], refinement), *refinement.remarks]
        figures = [(title, caption, folder / name) for name, (title, caption) in FIGURES.items()]
        write_report(folder / "index.html", metrics, params.model_dump(exclude={"tracking", "gate"}), figures, findings)
        for path in sorted(folder.iterdir()):
            run.log_artifact(path, "reports")
    print(f"{len(FIGURES)} figures and {OUTPUT / 'index.html'}")


def chosen(scores: pd.DataFrame, count: int) -> list[str]:
    """Names of `count` frames with a nerve, at equal steps from the best to the worst Dice of the model that ships."""
    shipped = scores[(scores["model"] == "gan") & scores["has_nerve"]]
    ranked = shipped.sort_values(["dice", "frame"], ascending=[False, True])["frame"].tolist()
    steps = min(count, len(ranked))
    return [ranked[round(step * (len(ranked) - 1) / max(1, steps - 1))] for step in range(steps)]


def _at_network_size(name: str) -> tuple[Frame, Mask]:
    info = DatasetInfo.read(PROCESSED)
    record = next(record for record in read_records(shards(PROCESSED, "test"), info) if record.name == name)
    return record.frame, record.mask > 127


def _cases(names: list[str], scores: pd.DataFrame) -> list[Case]:
    """What the pictures need of the named test frames, at their own size."""
    info = DatasetInfo.read(PROCESSED)
    records = {record.name: record for record in read_records(shards(PROCESSED, "test"), info) if record.name in names}
    originals = [records[name].as_read for name in names]
    predictions = {model: Segmenter.load(path).predict(originals) for model, path in MODELS.items()}
    dice = scores.set_index(["frame", "model"])["dice"]
    return [
        Case(
            name=name,
            subject=records[name].subject,
            frame=originals[i],
            truth=records[name].annotated,
            probabilities={model: found[i].probability for model, found in predictions.items()},
            masks={model: found[i].mask for model, found in predictions.items()},
            dice={model: float(dice[name, model]) for model in MODELS},
        )
        for i, name in enumerate(names)
    ]


if __name__ == "__main__":
    with told_plainly():
        visualize()
