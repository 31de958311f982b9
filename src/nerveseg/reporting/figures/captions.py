"""The figures of the report in their order: of each its file, its title and its caption."""

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
