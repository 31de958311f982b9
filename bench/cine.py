"""Measure how steady the outlines of loops are and what smoothing costs: frame by frame, live, and as a loop.

    python bench/cine.py [--loops 12] [--model models/exported]

Simulates loops of five seconds at 30 frames per second, of phantom subjects that no training has seen. The probe sweeps over the
nerve from beyond its end and back, and slides by up to 1 mm. From one frame to the next, the echoes keep 0.95 of their speckle,
or none of it. Prints these means over the loops:

- Dice of all frames, and of those with a nerve
- flicker: 1 - Dice of the masks of two successive frames. The truth flickers too, because the nerve moves
- how often the outline appears or disappears; in the truth, twice
- by how many frames the masks are late: the shift of the truth at which their Dice is highest

`no motion` is the live mean without following the tissue.
"""

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.dataset.letterbox import Letterbox
from nerveseg.file_prediction.temporal_smoothing import KEPT_LIVE, Trail, steadied
from nerveseg.inference.postprocessing import Estimate
from nerveseg.inference.predictor import Predictor, over
from nerveseg.measures.overlap import count
from nerveseg.params.file import load_params
from nerveseg.phantom.acoustics import DEPTH_MM, Scanner, echo_envelope
from nerveseg.phantom.anatomy import Pose
from nerveseg.phantom.display import add_marker, compress
from nerveseg.phantom.simulation import Subject
from nerveseg.saved_models.loading import load_predictor

FRAMES, RATE = 150, 30.0
STRETCH = 0.25  # maximum share of the sweep in which the probe turns back
LATE = 5  # frames; the largest delay that is searched

Pictures = NDArray[np.uint8]
Masks = NDArray[np.bool_]
Steady = Callable[[Pictures, Sequence[Estimate]], list[Estimate]]


class Speckle(np.random.Generator):
    """Draw the same fields for every frame; each keeps a share of the previous one."""

    def __init__(self, seed: int, kept: float) -> None:
        super().__init__(np.random.PCG64(seed))
        self._kept, self._fields, self._number = np.float32(kept), dict[int, NDArray[np.float32]](), 0

    def begin_frame(self) -> None:
        self._number = 0

    # NumPy's own method accepts more kinds of arguments than the phantom passes.
    def standard_normal(self, size: tuple[int, ...], dtype: Any = np.float32) -> NDArray[np.float32]:  # type: ignore[override]
        fresh: NDArray[np.float32] = super().standard_normal(size, dtype)
        field = self._fields.get(self._number)
        if field is not None:
            fresh = self._kept * field + np.sqrt(1 - self._kept**2) * fresh
        self._fields[self._number] = fresh
        self._number += 1
        return fresh.copy()


def simulated(number: int, kept: float) -> tuple[Pictures, Masks]:
    """Return a loop of a phantom subject, (N, height, width), and its truth."""
    params = load_params()
    subject = Subject(params.seed, number, params.phantom)
    planes, grid = params.phantom.frames_per_subject, subject.anatomy.grid
    span = min(STRETCH, (subject.last - subject.first + 1) / planes)
    rng = np.random.default_rng([number, params.seed])
    scanner = Scanner(focus=rng.uniform(12.0, 20.0), gain=rng.normal(7.8, 1.2), slope=rng.normal(-0.22, 0.06))
    waves = rng.uniform(0, 2 * np.pi, 4)
    speckle = Speckle(number, kept)
    frames, masks = [], []
    for seconds in np.arange(FRAMES) / RATE:
        aside, down, tilt, press = np.sin(2 * np.pi * np.array([0.4, 0.3, 0.3, 0.25]) * seconds + waves)
        sweep = subject.last / planes + span * (0.5 * np.cos(2 * np.pi * seconds * RATE / (FRAMES - 1)) - 0.2)
        visibility = float(np.clip(subject.last + 0.5 - sweep * planes, 0, 1))
        tissue, nerve = subject.anatomy.plane(Pose(sweep, 0.0, 0.025 * tilt, 0.85 + 0.25 * press), visibility)
        speckle.begin_frame()
        frame = compress(echo_envelope(tissue, grid, scanner, speckle), scanner, params.phantom.width)
        mask = np.zeros(frame.shape, np.float32)
        if visibility >= 0.5:
            outline = np.full(grid.shape, np.float32(9.0))
            shape = subject.anatomy.nerve.at(sweep, 0.0, 1.0)
            outline[nerve.window] = subject.hand.outline(
                nerve, shape, np.random.default_rng(number)
            )  # one hand's one line
            mask = (cv2.resize(outline, frame.shape[::-1]) < 0).astype(np.float32)
        slide = np.array([[1, 0, aside], [0, 1, 0.5 * down]], np.float32)
        slide[:, 2] *= params.phantom.height / DEPTH_MM
        frame = cv2.warpAffine(frame, slide, frame.shape[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        add_marker(frame)
        frames.append(frame)
        masks.append(cv2.warpAffine(mask, slide, frame.shape[::-1]) >= 0.5)
    return np.stack(frames), np.stack(masks)


def alone(_: Pictures, said: Sequence[Estimate]) -> list[Estimate]:
    return [*said]


def live(inputs: Pictures, said: Sequence[Estimate]) -> list[Estimate]:
    trail = Trail()
    return [trail.add(frame, each).mean() for frame, each in zip(inputs, said, strict=True)]


def without_motion(_: Pictures, said: Sequence[Estimate]) -> list[Estimate]:
    found: list[Estimate] = []
    probability, presence, weight = np.zeros_like(said[0].probability), 0.0, 0.0
    for each in said:
        probability = each.probability + np.float32(KEPT_LIVE) * probability
        presence, weight = each.presence + KEPT_LIVE * presence, 1 + KEPT_LIVE * weight
        found.append(Estimate(probability / np.float32(weight), presence / weight))
    return found


def dice(one: Masks, other: Masks) -> NDArray[np.float64]:
    """Return the Dice of each frame."""
    return np.array([count(truth, mask).dice for truth, mask in zip(one, other, strict=True)])


def lateness(truths: Masks, masks: Masks) -> float:
    """Return the delay in frames, interpolated by a parabola through the three best shifts."""
    inner = slice(LATE, -LATE)
    scores = [dice(np.roll(truths, late, 0)[inner], masks[inner]).mean() for late in range(-LATE, LATE + 1)]
    best = int(np.argmax(scores))
    if best in (0, 2 * LATE):
        return float(best - LATE)
    before, at, after = scores[best - 1 : best + 2]
    return float(best - LATE + (before - after) / (2 * (before - 2 * at + after)))


def scores(truths: Masks, masks: Masks) -> list[float]:
    found, shown = dice(truths, masks), truths.any((1, 2))
    drawn = masks.any((1, 2))
    return [
        float(found.mean()),
        float(found[shown].mean()),
        float(1 - dice(masks[:-1], masks[1:]).mean()),
        float(np.count_nonzero(drawn[1:] != drawn[:-1])),
        lateness(truths, masks),
    ]


def masks_of(predictor: Predictor, said: Sequence[Estimate], size: tuple[int, ...]) -> Masks:
    return np.stack([predictor.cutoffs.mask(over(size, each, predictor.size)) for each in said])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loops", type=int, default=12)
    parser.add_argument("--model", type=Path, default=Path("models/exported"))
    given = parser.parse_args()
    predictor = load_predictor(given.model)
    ways: dict[str, Steady] = {"alone": alone, "no motion": without_motion, "live": live, "loop": steadied}
    first = load_params().phantom.subjects + 1
    for kept in (0.95, 0.0):
        rows = []
        with ProcessPoolExecutor() as pool:
            for frames, truths in pool.map(partial(simulated, kept=kept), range(first, first + given.loops)):
                size = truths.shape[1:]
                inputs = np.stack([Letterbox.fit(size, predictor.size).frame(frame) for frame in frames])
                said = [*predictor.maps(inputs)]
                rows += [
                    [name, *scores(truths, masks_of(predictor, way(inputs, said), size))] for name, way in ways.items()
                ]
                rows.append(["truth", *scores(truths, truths)])
        columns = ["", "Dice", "dice_nerve", "flicker", "comes or goes", "frames late"]
        print(f"speckle kept from frame to frame: {kept}")
        print(pd.DataFrame(rows, columns=columns).groupby("", sort=False).mean().round(4).to_string())


if __name__ == "__main__":
    main()
