"""Find out which subjects a study's networks fail on, what these have in common, and how sure their annotator was.

    python bench/failing_subjects.py data/raw/bp256 --arms plain lite --minutes 6    # arms of bench/network_study.py

Scores the mean of the arms' maps on the subjects that they never saw, and prints three tables: the traits of each subject, worst first;
the rank correlation of each trait with Dice; and the annotator beside the networks. For the last one, an outline is predicted from
the same annotator's outlines of nearly equal frames of the same subject, exactly as from the probabilities of a network. Writes
`failing-subjects.png` into the study's folder: five frames of each of the eight worst subjects, the outline in yellow and the prediction in
blue. The picture shows frames of the data; keep it where the data are.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.letterbox import Letterbox
from nerveseg.dataset.records import Record, read_records
from nerveseg.errors import NervesegError, told_plainly
from nerveseg.files.atomic import whole_file
from nerveseg.measures.overlap import count
from network_study import FOLDER, SUBJECTS, TWO, best_threshold

ALIKE = 0.95  # correlation from which two frames count as nearly equal
LEAST = 0.85  # correlation at which an outline would have no weight
SHOWN, EACH, ENLARGED = 8, 5, 3
YELLOW, BLUE = (0, 255, 255), (255, 100, 0)


@dataclass(frozen=True)
class Prediction:
    """The record of a frame, and the mean probability at its own size, float32 (H, W)."""

    record: Record
    probability: NDArray[np.float32]

    @property
    def dice(self) -> float:
        return count(self.record.annotated, self.probability >= best_threshold(self.probability)).dice


def traits(record: Record) -> dict[str, float]:
    """Return what may make a frame hard: shares of its height and width, degrees, and grey levels."""
    truth = record.annotated
    rows, columns = np.nonzero(truth)
    points = np.column_stack([columns, rows]).astype(np.float32)
    values, vectors = np.linalg.eigh(np.cov(points, rowvar=False))
    nerve = record.mask > 127
    around = cv2.dilate(nerve.astype(np.uint8), np.ones((9, 9))).astype(bool) & ~nerve
    levels = record.frame.astype(np.float32)
    return {
        "area": float(truth.mean()),
        "depth": float(rows.mean() / truth.shape[0]),
        "across": float(columns.mean() / truth.shape[1]),
        "elongation": float(np.sqrt(values[1] / max(values[0], 1e-6))),
        "tilt": float(
            np.degrees(np.arctan2(abs(vectors[0, 1]), abs(vectors[1, 1])))
        ),  # of the long axis from the vertical
        "brightness": float(levels.mean()),
        "spread": float(levels.std()),
        "contrast": float(levels[nerve].mean() - levels[around].mean()) if nerve.any() and around.any() else np.nan,
    }


def by_frame(predictions: Sequence[Prediction]) -> pd.DataFrame:
    """Return Dice, traits and the annotator's Dice of each frame, with its number of nearly equal frames."""
    rows = []
    for subject in sorted({each.record.subject for each in predictions}):
        own = [each for each in predictions if each.record.subject == subject]
        alike = _correlations([each.record.frame for each in own])
        for place, each in enumerate(own):
            near = np.flatnonzero(alike[place] > ALIKE)
            row = {
                "subject": subject,
                "dice": each.dice,
                **traits(each.record),
                "alike": len(near),
                "annotator": np.nan,
            }
            if len(near):
                weights = alike[place][near] - LEAST
                masks = np.stack([own[other].record.annotated for other in near])
                mean = np.tensordot(weights / weights.sum(), masks, 1).astype(np.float32)
                row["annotator"] = Prediction(each.record, mean).dice
            rows.append(row)
    return pd.DataFrame(rows)


def _correlations(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    smooth = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.0).ravel() for frame in frames])
    found = np.atleast_2d(np.corrcoef(smooth))
    np.fill_diagonal(found, -1.0)
    return found


def tables(frames: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    subjects = frames.groupby("subject").mean().assign(frames=frames.groupby("subject").size()).sort_values("dice")
    ranks = subjects.rank().corr()["dice"].drop("dice").sort_values().to_frame("rank correlation")
    bins = pd.cut(frames["alike"], [0, 1, 2, 4, 8, np.inf], labels=["1", "2", "3 to 4", "5 to 8", "more"])
    beside = frames.assign(alike=bins).groupby("alike", observed=True)
    both = beside[["annotator", "dice"]].mean().rename(columns={"dice": "network"}).assign(frames=beside.size())
    return {"subjects, worst first": subjects, "with Dice": ranks, "by number of nearly equal frames": both}


def picture(predictions: Sequence[Prediction], worst: Sequence[str]) -> NDArray[np.uint8]:
    """Return five frames of each subject, from its worst to its best, uint8 (H, W, 3) in OpenCV's order."""
    strips = []
    for subject in worst:
        own = sorted((each for each in predictions if each.record.subject == subject), key=lambda each: each.dice)
        strips.append(np.hstack([_drawn(own[place]) for place in np.linspace(0, len(own) - 1, EACH).astype(int)]))
    return np.vstack(strips)


def _drawn(prediction: Prediction) -> NDArray[np.uint8]:
    record, map_ = prediction.record, prediction.probability
    enlarged = cv2.resize(record.frame, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC)
    drawn = cv2.cvtColor(enlarged, cv2.COLOR_GRAY2BGR)
    fit = Letterbox.fit(record.annotated.shape, enlarged.shape)
    for mask, colour in ((record.annotated, YELLOW), (map_ >= best_threshold(map_), BLUE)):
        outlines, _ = cv2.findContours(
            (fit.mask(mask) > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(drawn, outlines, -1, colour, 1)
    cv2.putText(drawn, f"{record.name} {prediction.dice:.2f}", (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 255, 0), 1)
    return drawn


def read(source: Path, arms: Sequence[str], minutes: float) -> list[Prediction]:
    found = list[Prediction]()
    for seed in TWO:
        maps = [_maps(source, arm, minutes, seed) for arm in arms]
        height, width = maps[0].shape[2:]
        prepared = FOLDER / f"{source.name}-{seed}-{height}x{width}"
        info = DatasetInfo.read(prepared)
        records = [record for part in ("val", "test") for record in read_records(shards(prepared, part), info)]
        records = [record for record in records if int(record.subject) in SUBJECTS]
        for record, *looks in zip(records, *maps, strict=True):
            size = record.annotated.shape
            restored = [Letterbox.fit(size, both.shape[1:]).restore(both.mean(0)) for both in looks]
            found.append(Prediction(record, np.mean(restored, axis=0)))
    return found


def _maps(source: Path, arm: str, minutes: float, seed: int) -> NDArray[np.float32]:
    path = FOLDER / f"{source.name}-{minutes:g}-minutes" / f"{arm.replace(' ', '-')}-{seed}.npy"
    if not path.is_file():
        raise NervesegError(f"{path} is missing; run that arm and seed of bench/network_study.py first")
    return np.load(path).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path, help="the folder that the study read")
    parser.add_argument("--arms", nargs="+", default=["plain"], metavar="ARM")
    parser.add_argument("--minutes", type=float, default=6.0, help="those of the study (default: 6)")
    asked = parser.parse_args()
    predictions = read(asked.real, asked.arms, asked.minutes)
    for title, table in (found := tables(by_frame(predictions))).items():
        print(f"\n{title}\n{table.to_string(float_format='{:.3f}'.format)}")
    path = FOLDER / "failing-subjects.png"
    worst = list(found["subjects, worst first"].index[:SHOWN])
    with whole_file(path) as part:
        part.write_bytes(cv2.imencode(".png", picture(predictions, worst))[1].tobytes())
    print(f"\nwrote {path}")


if __name__ == "__main__":
    with told_plainly():
        main()
