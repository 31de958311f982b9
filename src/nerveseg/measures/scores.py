"""The table of measures and scores, from which metrics.json, the tables beside it, the report, the model card and the reference are made.

A measure is a number of one case: a property of `Counts` (pixels) or of `Outlines`, under its `key`. A score is the mean of a measure
over some of the cases, or another number over all of them. To add a measure, write its property and its row here; `SCORES` follows.
The tuples at the end choose which scores stand where there is room for a few only.
"""

from dataclasses import dataclass
from typing import NamedTuple

PIXELS = "pixels"
NAN = float("nan")


class Frames(NamedTuple):
    """The cases over which a measure is averaged. `place` orders the scores in scores.csv, `ending` is that of the score's key."""

    place: int
    ending: str
    label: str
    words: str


ALL = Frames(0, "", "all frames", "all frames in which it is defined")
NERVE = Frames(1, "_nerve", "frames with nerve", "frames with a nerve")
NO_NERVE = Frames(2, "", "", "frames without a nerve")
ANNOTATED = Frames(3, "", "", NERVE.words)
DRAWN = Frames(3, "", "", "frames in which both masks show a nerve")  # others for each model
COMMON = Frames(4, "_common", "", "frames that all models outline")
COUNTED = Frames(5, "", "", "")  # no mean over cases


@dataclass(frozen=True)
class Measure:
    """A column of cases.csv. `missed` is its value where a nerve is annotated and nothing is predicted (outlines only)."""

    key: str
    name: str
    meaning: str
    over: tuple[Frames, ...] = (ALL,)
    unit: str = ""
    digits: int = 3
    lower_is_better: bool = False
    missed: float = NAN

    @property
    def title(self) -> str:
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclass(frozen=True)
class Score:
    """A score in scores.csv. `column` is what it averages: of cases.csv, or one that `cases.contributions` adds; none for `COUNTED`."""

    key: str
    name: str
    meaning: str
    over: Frames = COUNTED
    column: str = ""
    digits: int = 3
    lower_is_better: bool = False

    @property
    def explained(self) -> str:
        return f"{self.meaning}; mean over {self.over.words}" if self.over.words else self.meaning


OF_PIXELS = (
    Measure("dice", "Dice", "twice the common pixels, divided by the sum of both areas; 1 if both masks are empty, as in Kaggle’s challenge", (ALL, NERVE)),
    Measure("iou", "IoU", "common pixels, divided by the pixels of either mask; 1 if both are empty", (ALL, NERVE)),
    Measure("binary_accuracy", "Pixel accuracy", "share of the pixels that are labelled as annotated; high for any small target"),
    Measure("precision", "Precision", "share of the predicted area that is nerve"),
    Measure("recall", "Recall", "share of the nerve’s area that is predicted"),
    Measure("specificity", "Specificity", "share of the pixels outside the nerve that are left out; high for any small target"),
)  # fmt: skip
OF_OUTLINES = (
    Measure("hd", "HD", "largest distance between the outlines (Hausdorff)", (), PIXELS, 1, lower_is_better=True),
    Measure("hd95", "HD95", "95th percentile of the distances between the outlines", (DRAWN, COMMON), PIXELS, 1, lower_is_better=True),
    Measure("assd", "ASSD", "mean distance between the outlines", (DRAWN, COMMON), PIXELS, 1, lower_is_better=True),
    Measure("nsd", "NSD at 2 pixels", "share of both outlines that lies within 2 pixels of the other", (ANNOTATED,), missed=0.0),
    Measure("centroid_distance", "Distance of centres", "distance between the centres of mass, where a needle would be aimed", (DRAWN, COMMON), PIXELS, 1, lower_is_better=True),
    Measure("area_error", "Error of the area", "difference of the areas, as a share of the annotated one", (DRAWN, COMMON), lower_is_better=True),
)  # fmt: skip
MEASURES = {measure.key: measure for measure in (*OF_PIXELS, *OF_OUTLINES)}
LENGTHS = tuple(measure.key for measure in OF_OUTLINES if measure.unit == PIXELS)  # in millimetres too, `_mm`
DISTANCES = tuple(measure.key for measure in OF_OUTLINES if COMMON in measure.over)  # `_common`, too


def _score(measure: Measure, frames: Frames) -> Score:
    name = f"{measure.name}, {frames.label}" if NERVE in measure.over else measure.title
    column = measure.key + (frames.ending if frames is COMMON else "")
    key, (digits, lower) = measure.key + frames.ending, (measure.digits, measure.lower_is_better)
    return Score(key, name, measure.meaning, frames, column, digits, lower)


SCORES = {score.key: score for score in (  # as the report shows them
    *(_score(measure, frames) for measure in OF_PIXELS for frames in measure.over),
    Score("frames_outlined", "Frames outlined", "frames in which both masks show a nerve; other frames have no distances", digits=0),
    *(_score(measure, frames) for measure in OF_OUTLINES for frames in measure.over),
    Score("presence_sensitivity", "Presence: sensitivity", "share of the frames in which a nerve is predicted", NERVE, "drawn"),
    Score("presence_specificity", "Presence: specificity", "share of the frames in which no nerve is predicted", NO_NERVE, "not_drawn"),
    Score("presence_auc", "Presence: ROC AUC", "how often a frame with a nerve gets a higher probability of showing one than a frame without; 0.5 is guessing"),
    Score("ece", "Calibration error", "mean difference between the probability of nerve and the share of such pixels that is nerve", lower_is_better=True),
    Score("ece_doubtful", "Calibration error, doubtful pixels", "the calibration error of the pixels with a probability of at least 0.05", lower_is_better=True),
)}  # fmt: skip
AVERAGED = sorted((score for score in SCORES.values() if score.column), key=lambda score: score.over.place)

HEADLINE = ("dice", "dice_nerve")
OF_MODELS = ("dice", "iou", "dice_nerve")  # in metrics.json, of each model
OF_SHIPPED = (
    *OF_MODELS,
    "presence_sensitivity",
    "presence_specificity",
    "hd95_common",
)  # in metrics.json, of what ships
OF_PARTS = ("dice", "hd95_common", "centroid_distance_common")  # in strata.csv
OF_ARMS = ("dice_nerve", "hd95_common")  # of the ablation: drawn
AT_THRESHOLDS = (*HEADLINE, "precision", "recall")  # drawn
OF_FRAMES = ("dice", "iou", "hd95", "centroid_distance")  # measures that the report shows frame by frame
ON_CARD = (
    "dice_nerve", "dice", "iou_nerve", "hd95_common", "centroid_distance_common", "presence_sensitivity", "presence_specificity",
)  # fmt: skip
IN_ABLATION = (
    "dice", "iou", "dice_nerve", "iou_nerve", "presence_sensitivity", "presence_specificity", "hd95", "assd", "hd95_common",
    "assd_common", "nsd",
)  # fmt: skip
WITH_GAIN = ("dice", "dice_nerve", "iou_nerve", "hd95_common", "assd_common", "nsd")  # over the U-Net, in the ablation
