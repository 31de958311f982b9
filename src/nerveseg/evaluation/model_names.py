"""The models that are scored: their keys in `metrics.json` and in tables, and what a reader sees instead.

    unet_untuned          the U-Net's mask at probability 0.5, no cut-off searched
    unet                  the U-Net with its cut-offs
    control, adversarial  the U-Net under a refiner that was trained without, or with, a critic: arms of the ablation
    gan                   the arm that val chose, `unet` among them
    ensemble              that of `evaluate.ensemble`, where one is named
    exported              what ships: `gan` or, where there is one, the ensemble, compiled to predict without TensorFlow

Which model ships is written in `models/exported` and in `metrics.json` (`shipped`), and nowhere concluded from anything else.
"""

from collections.abc import Mapping
from typing import Any

GAN, ENSEMBLE, SHIPPED = "gan", "ensemble", "exported"
LABELS = {
    "unet_untuned": "U-Net at 0.5",
    "unet": "U-Net",
    "control": "Refiner without critic",
    "adversarial": "Refiner with critic",
    GAN: "Arm chosen on val",
    ENSEMBLE: "Ensemble",
    SHIPPED: "Shipped",
    "baseline_mean_mask": "Average mask",
    "baseline_empty": "Empty mask",
}
ARMS = {
    "unet": "the U-Net without a refiner",
    "control": "the U-Net under the refiner trained without a critic",
    "adversarial": "the U-Net under the refiner trained against a critic",
}


def scored(metrics: Mapping[str, Any]) -> list[str]:
    """The keys of `metrics.json` that are models or baselines, in the order of `LABELS`."""
    return [key for key in LABELS if key in metrics]


def shown(metrics: Mapping[str, Any]) -> list[str]:
    """Those that a reader sees: what ships stands for the trained model that it was made of."""
    return [key for key in scored(metrics) if key != metrics["shipped"]["source"]]


def what_ships(metrics: Mapping[str, Any]) -> str:
    """In words, for example `the U-Net under the refiner trained without a critic, in int8`."""
    shipped = metrics["shipped"]
    name = "the ensemble" if shipped["source"] == ENSEMBLE else ARMS[shipped["arm"]]
    return f"{name}, in {shipped['precision']}"
