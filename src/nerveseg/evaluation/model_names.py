"""The models that are scored: their keys in `metrics.json` and tables, and the labels that readers see.

    unet_untuned          the U-Net's mask at probability 0.5, no cut-off searched
    unet                  the U-Net with its cut-offs
    control, adversarial  the U-Net under a refiner that was trained without, or with, a critic: arms of the ablation
    gan                   the arm that val chose, which may be `unet`
    ensemble              that of `evaluate.ensemble`, if one is named
    exported              what ships: `gan` or the ensemble, compiled to predict without TensorFlow

`models/exported` and `metrics.json` (`shipped`) say which model ships. Conclude it from nothing else.
"""

from collections.abc import Mapping
from typing import Any

BASE, UNTUNED, GAN, ENSEMBLE, SHIPPED = "unet", "unet_untuned", "gan", "ensemble", "exported"
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


def shown(metrics: Mapping[str, Any]) -> list[str]:
    """Return the models that readers see: what ships stands for the trained model that it was made from."""
    return [key for key in LABELS if key in metrics and key != metrics["shipped"]["source"]]


def what_ships(metrics: Mapping[str, Any]) -> str:
    """Describe what ships, for example `the U-Net under the refiner trained without a critic, in int8`."""
    shipped = metrics["shipped"]
    name = "the ensemble" if shipped["source"] == ENSEMBLE else ARMS[shipped["arm"]]
    return f"{name}, in {shipped['precision']}"
