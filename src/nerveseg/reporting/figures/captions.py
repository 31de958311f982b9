"""The figures of the report in their order: file, title and caption."""

SUMMARY = "summary.png"
FIGURES = {
    "comparison.png": ("Comparison", "The worst, median and best frames by the Dice of the model that ships, and last, if a refiner ships, the degraded frame that it helps most: frame, annotation, U-Net, the model that ships, and where its mask is right or wrong. “Withheld” means that a cut-off removed the mask."),
    "overlays.png": ("Overlays", "Outlines of the annotation, of the U-Net and of the model that ships on the same frames, with the Dice of both models."),
    "heatmaps.png": ("Probability", "How probable each model finds nerve in each pixel."),
    "uncertainty.png": ("Uncertainty", "The model that ships looks at the frame and at its mirror image. Uncertainty is the entropy of the mean of both probabilities, so it is high where either is near 0.5 and where the two disagree, even if each is sure. A mask can be empty where the probability is high: a cut-off withheld it."),
    "dice.png": ("Dice by subject and by nerve size", "Each point is a test frame with a nerve. Bars are medians of a subject."),
    "robustness.png": ("Robustness", "Dice and distance of the outlines on degraded test frames: the U-Net, its refiners, and the ensemble if there is one. Distances are over the frames that all models outline. Dotted: the average train mask, unless it is out of range."),
    "augmentations.png": ("Augmentations", "Variants of train frames, from which the U-Net learns, with the outlines of their annotations."),
    "degradations.png": ("Degradations", "One frame under every degradation at every severity, with the outline of its annotation."),
    "thresholds.png": ("Thresholds", "Scores on test at other thresholds than the one chosen on val."),
    "trust.png": ("Reliability, ROC, precision-recall, risk-coverage", "Whether probabilities can be trusted. Risk-coverage: the mean error if only the most confident share of the frames is kept; “ideal order” keeps those with the highest Dice."),
    "training.png": ("Training", "Losses, and Dice on val, by epoch. Epoch 0 of the refiner is the U-Net without it."),
}  # fmt: skip


def lead(*, rescued: bool) -> tuple[str, str]:
    """Return title and caption of `SUMMARY`."""
    below = " Below: the degraded frame that the refiner helps most, without and with it." if rescued else ""
    return "Test frames", f"{'Above: a' if below else 'A'} median and the worst test frame with a nerve.{below}"
