"""The figures of the report in their order: file, title and caption."""

FIGURES = {
    "comparison.png": ("Comparison", "The best, median and worst frames by the Dice of the model that ships: frame, annotation, U-Net, the model that ships, and where its mask is right or wrong."),
    "overlays.png": ("Overlays", "Outlines of the annotation, of the U-Net and of the model that ships on the same frames."),
    "heatmaps.png": ("Probability", "How probable each model finds nerve in each pixel."),
    "uncertainty.png": ("Uncertainty", "Where the model that ships is right or wrong, and its uncertainty of each pixel, from the frame and its mirror image."),
    "dice.png": ("Dice by subject and by nerve size", "Each point is a test frame with a nerve."),
    "robustness.png": ("Robustness", "Dice and distance of the outlines on degraded test frames: the U-Net, its refiners, and the ensemble if there is one. Distances are over the frames that all models outline. Dotted: the average train mask."),
    "augmentations.png": ("Augmentations", "Variants of train frames, from which the U-Net learns, with the outlines of their annotations."),
    "degradations.png": ("Degradations", "One frame under every degradation at every severity, with the outline of its annotation."),
    "thresholds.png": ("Thresholds", "Scores on test at other thresholds than the one chosen on val."),
    "trust.png": ("Trust", "Calibration of the pixels, presence of a nerve, precision against recall, and Dice if the least certain frames are set aside."),
    "training.png": ("Training", "Losses, and Dice on val, by epoch. Epoch 0 of the refiner is the U-Net without it."),
}  # fmt: skip
