"""Cases for the browser of cases, with their scores."""

import cv2
import numpy as np
import pandas as pd

from nerveseg.measures.cases import case_measures
from nerveseg.measures.overlap import count
from nerveseg.reporting.figures.pictures import Case


def as_case(name, frame, truth, masks, rank=""):
    maps = {model: cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 3) for model, mask in masks.items()}
    dice = {model: count(truth, mask).dice for model, mask in masks.items()}
    nothing = np.zeros(frame.shape, np.float32)
    return Case(
        name=name, subject=name.split("_")[0], frame=frame, truth=truth, masks=masks, dice=dice, rank=rank,
        probabilities=maps, mirrored=nothing, uncertainty=nothing,
    )  # fmt: skip


def scores(cases):
    return pd.DataFrame(
        {"frame": case.name, "model": model, **case_measures(case.truth, mask), "presence": 0.7, "confidence": 0.6}
        for case in cases
        for model, mask in case.masks.items()
    )
