"""The nerve: roots of the brachial plexus between the scalene muscles, and the line that an annotator draws around them.

Between the scalenes the plexus shows as a column of two to four dark discs, its roots and trunks, upright or leaning along
the groove between the muscles, with bright connective tissue between them. Closely packed, it becomes a bundle or a honeycomb
of smaller discs. Silvestri et al. 1995 (Radiology) showed against histology that the discs are fascicles and the bright mesh
is epineurium. The top and bottom of a disc face the beam and reflect most.

An annotator's line is smoother than the nerve and never the same twice. It runs inside or outside the edge, waves, and
sometimes cuts a corner with a straight line, as in many masks of Kaggle's 2016 challenge.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nerveseg.phantom.acoustics import DEPTH_MM, Grid, Map, Tissue
from nerveseg.phantom.organs import Organ
from nerveseg.phantom.tissue import FASCICLE_DB, Ellipse, Near, blend

NERVE_SHARE = 0.0285  # median share of the frame, as in Kaggle's 2016 challenge
HAND_MM = 0.2  # standard deviation of the distance from the nerve's edge at which an annotator draws
EPINEURIUM_DB = -21.5


def draw_nerve(rng: np.random.Generator, grid: Grid) -> Organ:
    area = NERVE_SHARE * grid.width_mm * DEPTH_MM * float(np.exp(rng.normal(0.0, 0.17)))
    elongation = float(np.clip(1.9 * np.exp(rng.normal(0.0, 0.2)), 1.35, 2.9))
    long, short = np.sqrt(area / np.pi * elongation), np.sqrt(area / np.pi / elongation)
    lateral, depth = rng.uniform(0.4, 0.74) * grid.width_mm, (0.24 + 0.3 * rng.uniform() ** 1.4) * DEPTH_MM
    lean = rng.uniform(0.6, 1.8) if elongation < 2.2 else rng.uniform(0.5, 1.2)
    shape = Ellipse(lateral, depth, float(long), float(short), -float(lean))
    return Organ("nerve", shape, (rng.uniform(-5.0, 5.0), rng.uniform(-3.0, 3.0)), offset=rng.uniform())


def draw_fascicles(rng: np.random.Generator, shape: Ellipse) -> NDArray[np.float32]:
    """Return rows of position along and across, radius in mm, darkness (0 to 1): a column of roots, small discs between."""
    placed: list[tuple[float, float, float]] = []
    end = reach = shape.long - 0.4
    for _ in range(rng.integers(2, 5)):
        radius = shape.short * rng.uniform(0.42, 0.68)
        along = reach - radius
        if along - radius < -end:
            break
        free = max(shape.short * np.sqrt(max(1.0 - (along / shape.long) ** 2, 0.0)) - radius - 0.3, 0.0)
        placed.append((along, rng.uniform(-free, free), radius))
        reach = along - radius - rng.uniform(0.2, 1.1)
    for radius in shape.short * rng.uniform(0.16, 0.3, size=rng.integers(0, 5)):
        for _ in range(30):
            angle, share = rng.uniform(0.0, 2.0 * np.pi), np.sqrt(rng.uniform())
            along = np.cos(angle) * share * (shape.long - radius - 0.5)
            across = np.sin(angle) * share * (shape.short - radius - 0.4)
            if all(np.hypot(along - x, across - y) > radius + r + 0.25 for x, y, r in placed):
                placed.append((along, across, radius))
                break
    return np.column_stack([placed, rng.uniform(0.6, 1.0, len(placed))]).astype(np.float32)


def paint_nerve(
    tissue: Tissue, near: Near, fibres: Map, fascicles: NDArray[np.float32], visible: float, contrast: float
) -> None:
    """Paint the nerve with rows of `draw_fascicles`. Its echo is anisotropic: `visible` is 1 in its best plane, down to 0."""
    window, share = near.window, np.float32(visible)
    inside = near.inside(0.35) * share
    blend(tissue.echo[window], inside, np.float32(EPINEURIUM_DB - 8.0 * (1.0 - contrast)) + 6.0 * fibres)
    tissue.mirror[window] *= 1.0 - inside
    holes, caps = np.zeros((2, *near.distance.shape), np.float32)
    sin, cos = np.float32(np.sin(near.angle)), np.float32(np.cos(near.angle))
    for along, across, radius, darkness in fascicles:
        u, v = near.along - along, near.across - across
        distance = np.sqrt(u * u + v * v) + np.float32(0.05)
        gap = distance - radius
        np.maximum(holes, darkness / (1.0 + np.exp(np.clip(gap * np.float32(7.0), -30.0, 30.0))), out=holes)
        facing = np.square((u * sin + v * cos) / distance)
        rim = np.exp(-np.square((gap - np.float32(0.4)) * np.float32(2.0)))
        np.maximum(caps, darkness * facing * rim, out=caps)
    holes *= inside
    caps *= inside * (1.0 - holes)
    patchy = np.clip(0.5 + 0.8 * fibres, 0.0, 2.5)
    blend(tissue.echo[window], holes, FASCICLE_DB)
    tissue.echo[window] += np.float32(20.0 * contrast) * caps * patchy
    tissue.mirror[window] += np.float32(0.18 * contrast) * caps * patchy


@dataclass(frozen=True)
class Hand:
    """One annotator."""

    waves: NDArray[np.float32]  # rows of cosine and sine amplitudes in mm, for 1 to 4 waves around the nerve
    cut: tuple[float, float] | None  # the straight end: an angle around the nerve, and the share of the way to its edge

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Hand":
        waves = rng.normal(0.0, 0.1, size=(4, 2)).clip(-0.15, 0.15).astype(np.float32)
        # Mostly the lower end. It is at pi, since the long axis leads up to the right.
        cut = (np.pi + rng.normal(0.0, 0.6), rng.uniform(0.78, 0.97)) if rng.uniform() < 0.55 else None
        return cls(waves, cut)

    def outline(self, near: Near, shape: Ellipse, rng: np.random.Generator) -> Map:
        """Draw a line anew and return the distance to it in mm, negative inside."""
        waves = self.waves + rng.normal(0.0, 0.06, size=self.waves.shape).astype(np.float32)
        margin = np.float32(HAND_MM * float(np.clip(rng.standard_normal(), -2.0, 2.0)))
        u, v = near.along * np.float32(1.0 / shape.long), near.across * np.float32(1.0 / shape.short)
        angle = np.arctan2(v, u)
        distance = near.distance - margin
        for number, (cosine, sine) in enumerate(waves, start=1):
            distance -= cosine * np.cos(number * angle) + sine * np.sin(number * angle)
        if self.cut is not None:
            towards, share = self.cut
            beyond = u * np.float32(np.cos(towards)) + v * np.float32(np.sin(towards)) - np.float32(share)
            np.maximum(distance, beyond * np.float32(shape.short), out=distance)
        return distance
