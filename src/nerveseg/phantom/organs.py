"""Which organs a simulated subject has, how large they are, and where they lie along the probe's sweep.

Lengths are in mm and the sweep runs from 0 to 1, as in `tissue`. The nerve is placed first and painted last; only muscle
and bone may overlap it.
"""

from dataclasses import dataclass

import numpy as np

from nerveseg.phantom.acoustics import DEPTH_MM, Grid
from nerveseg.phantom.tissue import Ellipse


@dataclass(frozen=True)
class Organ:
    """An organ's ellipse halfway along the sweep, how far it moves over the sweep, and the part of the sweep that shows it."""

    kind: str
    shape: Ellipse
    travel: tuple[float, float]
    seen: tuple[float, float] = (-1.0, 2.0)
    offset: float = 0.0

    def at(self, sweep: float, shift: float, squeeze: float) -> Ellipse:
        """Return the ellipse moved by `shift` along the probe. The probe's pressure leaves the share `squeeze` of its height."""
        swell = 1.0 + 0.15 * np.sin(2.0 * np.pi * (0.6 * sweep + self.offset))
        return Ellipse(
            self.shape.lateral + self.travel[0] * (sweep - 0.5) + shift,
            self.shape.depth + self.travel[1] * (sweep - 0.5),
            self.shape.long * swell,
            self.shape.short * swell * squeeze,
            self.shape.angle + 0.25 * (sweep - 0.5),
        )


def draw_organs(rng: np.random.Generator, grid: Grid, nerve: Ellipse) -> list[Organ]:
    """Draw bones, muscles beside the nerve, vessels, then the look-alikes, back to front."""
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

    for _ in range(rng.integers(0, 3)):
        lateral, depth, long = rng.uniform(0, width), rng.uniform(28, 38), rng.uniform(4, 9)
        add("bone", lateral, depth, long, rng.uniform(1.5, 3), rng.normal(0, 0.25))
    for side in (-1.0, 1.0):
        long, short = rng.uniform(8, 13), rng.uniform(4, 7)
        lateral = nerve.lateral + side * (0.65 * long + nerve.short)
        add("muscle", lateral, nerve.depth + rng.uniform(-1, 7), long, short, side * rng.uniform(0.0, 0.6) - 0.1)
    for _ in range(rng.integers(1, 4)):
        lateral, depth = rng.uniform(0, width), rng.uniform(8, 34)
        add("muscle", lateral, depth, rng.uniform(5, 12), rng.uniform(2.5, 5), rng.normal(0, 0.3))
    for kind, chance in (("artery", 0.5), ("vein", 0.4), ("artery", 0.3), ("node", 0.5), ("node", 0.4)):
        if rng.uniform() > chance:
            continue
        long = rng.uniform(1.0, 3.2)
        flat = {"artery": rng.uniform(0.75, 0.95), "vein": rng.uniform(0.4, 0.8), "node": rng.uniform(0.5, 0.75)}[kind]
        lateral, depth = rng.uniform(2, width - 2), rng.uniform(9, 32)
        add(kind, lateral, depth, long, long * flat, rng.normal(0, 0.3), length=0.5 if kind == "node" else 3.0)
    for _ in range(rng.integers(1, 4)):
        lateral, depth, long = rng.uniform(2, width - 2), rng.uniform(6, 30), rng.uniform(0.8, 1.7)
        add("cord", lateral, depth, long, long * rng.uniform(0.7, 1.0), rng.normal(0, 0.5), length=0.7)
    for kind in ("lobule", "bundle"):
        long = nerve.long * rng.uniform(0.75, 1.2)
        lateral, depth = rng.uniform(0.1, 0.9) * width, rng.uniform(0.2, 0.75) * DEPTH_MM
        add(kind, lateral, depth, long, long * rng.uniform(0.45, 0.85), rng.uniform(-1.1, 0.8), length=0.5)
    return organs
