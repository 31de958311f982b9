"""Which organs a simulated subject has, how large they are, and where they lie along the probe's sweep.

Lengths are in mm and the sweep runs from 0 to 1, as in `phantom_tissue`. The nerve is placed first, and nothing but
muscle and bone on top of it; it is painted last.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nerveseg.data.phantom_acoustics import DEPTH_MM, Grid
from nerveseg.data.phantom_tissue import Ellipse

NERVE_SHARE = 0.030  # mean share of the frame, as in Kaggle's 2016 challenge


@dataclass(frozen=True)
class Organ:
    """An organ's ellipse halfway along the sweep, how far it moves over the sweep, and where in the sweep it is seen."""

    kind: str
    shape: Ellipse
    travel: tuple[float, float]
    seen: tuple[float, float] = (-1.0, 2.0)
    offset: float = 0.0

    def at(self, sweep: float, shift: float, squeeze: float) -> Ellipse:
        """`shift` moves it along the probe; `squeeze` is the share of a vein's height that the probe's pressure leaves."""
        swell = 1.0 + 0.15 * np.sin(2.0 * np.pi * (0.6 * sweep + self.offset))
        return Ellipse(
            self.shape.lateral + self.travel[0] * (sweep - 0.5) + shift,
            self.shape.depth + self.travel[1] * (sweep - 0.5),
            self.shape.long * swell,
            self.shape.short * swell * squeeze,
            self.shape.angle + 0.25 * (sweep - 0.5),
        )

    def visible(self, sweep: float) -> bool:
        return self.seen[0] <= sweep <= self.seen[1]


def draw_nerve(rng: np.random.Generator, grid: Grid) -> Organ:
    area = NERVE_SHARE * grid.width_mm * DEPTH_MM * float(np.exp(rng.normal(0.0, 0.17) - 0.02))
    elongation = rng.uniform(1.15, 1.9)
    long, short = np.sqrt(area / np.pi * elongation), np.sqrt(area / np.pi / elongation)
    lateral, depth = rng.uniform(0.31, 0.72) * grid.width_mm, rng.uniform(0.22, 0.54) * DEPTH_MM
    shape = Ellipse(lateral, depth, float(long), float(short), rng.uniform(-1.1, 0.5))
    return Organ("nerve", shape, (rng.uniform(-6.0, 6.0), rng.uniform(-3.0, 3.0)), offset=rng.uniform())


def draw_fascicles(rng: np.random.Generator, shape: Ellipse) -> NDArray[np.float32]:
    """Rows of position along and across, radius in mm, and darkness (0 to 1): dart throwing, larger ones first."""
    scale = 0.5 * (shape.long + shape.short)
    placed: list[tuple[float, float, float]] = []
    for radius in np.repeat(scale * np.array([0.27, 0.22, 0.17]), (3, 5, 5)):
        for _ in range(60):
            angle, reach = rng.uniform(0.0, 2.0 * np.pi), np.sqrt(rng.uniform())
            along = np.cos(angle) * reach * (shape.long - radius - 0.7)
            across = np.sin(angle) * reach * (shape.short - radius - 0.7)
            if all(np.hypot(along - x, across - y) > radius + r + 0.45 for x, y, r in placed):
                placed.append((along, across, radius))
                break
    return np.column_stack([placed, rng.uniform(0.6, 1.0, len(placed))]).astype(np.float32)


def draw_organs(rng: np.random.Generator, grid: Grid, nerve: Ellipse) -> list[Organ]:
    """Back to front: bones, muscles beside the nerve, vessels, then the look-alikes; none on top of the nerve."""
    organs: list[Organ] = []
    width = grid.width_mm

    def add(kind: str, lateral: float, depth: float, long: float, short: float, angle: float, **where: float) -> None:
        centre = np.hypot(lateral - nerve.lateral, depth - nerve.depth)
        if kind not in ("muscle", "bone") and centre < 0.9 * (long + nerve.long):
            return
        length = where.get("length", 3.0)
        start = rng.uniform(-0.3, 1.0) if length < 1.0 else -1.0
        travel = (rng.uniform(-5.0, 5.0), rng.uniform(-2.0, 2.0))
        shape = Ellipse(lateral, depth, long, short, angle)
        organs.append(Organ(kind, shape, travel, (start, start + length), rng.uniform()))

    for _ in range(rng.integers(1, 4)):
        add(
            "bone",
            rng.uniform(0, width),
            rng.uniform(34, 40),
            rng.uniform(4, 8),
            rng.uniform(1.5, 3),
            rng.normal(0, 0.15),
        )
    for side in (-1.0, 1.0):
        long, short = rng.uniform(7, 12), rng.uniform(3.5, 6)
        lateral = nerve.lateral + side * (0.6 * long + nerve.short)
        add("muscle", lateral, nerve.depth + rng.uniform(-1, 6), long, short, side * rng.uniform(0.1, 0.7))
    for _ in range(rng.integers(1, 4)):
        lateral, depth = rng.uniform(0, width), rng.uniform(6, 32)
        add("muscle", lateral, depth, rng.uniform(5, 12), rng.uniform(2.5, 5), rng.normal(0, 0.3))
    for kind, chance in (("artery", 0.85), ("vein", 0.7), ("artery", 0.4), ("node", 0.6), ("node", 0.4)):
        if rng.uniform() > chance:
            continue
        long = rng.uniform(1.8, 4.5)
        flat = {"artery": 0.92, "vein": rng.uniform(0.4, 0.8), "node": rng.uniform(0.5, 0.75)}[kind]
        lateral, depth = rng.uniform(2, width - 2), rng.uniform(9, 32)
        add(kind, lateral, depth, long, long * flat, rng.normal(0, 0.3), length=0.5 if kind == "node" else 3.0)
    for _ in range(rng.integers(3, 8)):
        lateral, depth, long = rng.uniform(2, width - 2), rng.uniform(6, 30), rng.uniform(0.8, 1.7)
        add("cord", lateral, depth, long, long * rng.uniform(0.7, 1.0), rng.normal(0, 0.5), length=0.7)
    for kind in ("lobule", "bundle", "lobule", "bundle", "lobule"):
        long = nerve.long * rng.uniform(0.75, 1.2)
        lateral, depth = rng.uniform(0.1, 0.9) * width, rng.uniform(0.2, 0.75) * DEPTH_MM
        add(kind, lateral, depth, long, long * rng.uniform(0.45, 0.85), rng.uniform(-1.1, 0.8), length=0.5)
    return organs
