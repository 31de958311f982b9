"""Tables of scored cases, as `metrics/cases.csv` is one."""

import numpy as np
import pandas as pd

SUBJECTS, FRAMES = 9, 6


def cases(dice=0.8, subjects=SUBJECTS, frames=FRAMES):
    """Every second frame shows a nerve, larger from subject to subject, with this Dice; the others score 1."""
    number = np.arange(subjects * frames)
    subject, nerve = number // frames, number % 2 == 0
    return pd.DataFrame(
        {
            "frame": [f"{s}_{n}" for s, n in zip(subject, number % frames, strict=True)],
            "subject": subject.astype(str),
            "model": "exported",
            "has_nerve": nerve,
            "truth_area": np.where(nerve, 100 + number, 0),
            "frame_area": 10_000,
            "dice": np.where(nerve, dice, 1.0),
        }
    )


def changed(table, where, by):
    return table.assign(dice=np.where(where, table["dice"] + by, table["dice"]))
