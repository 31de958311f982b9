"""One simulated subject: where its layers and organs lie, and what each plane of the probe's sweep shows.

An `Anatomy` makes all random choices when it is created. `plane` makes none, so a plane does not depend on those before it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nerveseg.phantom.acoustics import DEPTH_MM, Grid, Map, Tissue
from nerveseg.phantom.nerve import draw_fascicles, draw_nerve, paint_nerve
from nerveseg.phantom.organs import draw_organs
from nerveseg.phantom.tissue import PAINTERS, Near, Place, Texture, sample

LAYER_STEP = 0.05  # mm, of the depth profile
PROBE_LINES = (0.25, 0.95, 2.1)  # mm, flat white lines below the probe, at about the same depths in all subjects


@dataclass(frozen=True)
class Pose:
    """How the probe is held in one frame: lateral shift in mm, tilt in mm per mm, pressure on veins (1: none)."""

    sweep: float
    shift: float = 0.0
    tilt: float = 0.0
    squeeze: float = 1.0


@dataclass(frozen=True)
class Layers:
    """Tables over tissue depth in steps of `LAYER_STEP`: echo in dB, amplitude of fascia, strength of fibres."""

    echo: Map
    fascia: Map
    fibres: Map

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Layers":
        """Draw skin, fat, the sternocleidomastoid, the fat below it, and deeper tissue."""
        depth = np.arange(-5.0, DEPTH_MM + 10.0, LAYER_STEP)
        edges = np.cumsum([0.0, rng.uniform(1.3, 2.2), rng.uniform(0.8, 3.0), rng.uniform(2.0, 6.0), rng.uniform(1, 4)])
        levels = [-22.8, rng.uniform(-28, -22), rng.uniform(-38, -32), rng.uniform(-26, -21), rng.uniform(-33, -28)]
        strengths = [0.1, 0.8, 0.5, 1.0, rng.uniform(0.6, 1.1)]
        layer = np.clip(np.searchsorted(edges, depth, side="right") - 1, 0, len(levels) - 1)
        fascia = np.zeros_like(depth)
        deep, shallow = rng.uniform(edges[-1] + 2.0, DEPTH_MM - 4.0, size=5), rng.uniform(2.0, edges[2], size=2)
        for line in [*edges[2:], edges[3], *deep, *shallow]:
            fascia += rng.uniform(0.4, 1.5) * np.exp(-np.square((depth - line) / rng.uniform(0.12, 0.3)))
        for line in PROBE_LINES:
            fascia += rng.uniform(0.2, 0.7) * np.exp(-np.square((depth - line - rng.normal(0.0, 0.08)) / 0.15))
        tables = (np.asarray(levels)[layer], fascia, np.asarray(strengths)[layer])
        return cls(*(table.astype(np.float32) for table in tables))

    def row(self, depth: Map) -> NDArray[np.intp]:
        rows = ((depth + np.float32(5.0)) * np.float32(1.0 / LAYER_STEP)).astype(np.intp)
        return np.clip(rows, 0, self.echo.size - 1)


class Anatomy:
    def __init__(self, rng: np.random.Generator, grid: Grid) -> None:
        self.grid, self.nerve = grid, draw_nerve(rng, grid)
        self.layers = Layers.draw(rng)
        self.organs = draw_organs(rng, grid, self.nerve.shape)
        self.fascicles = draw_fascicles(rng, self.nerve.shape)
        self.contrast = rng.uniform(0.85, 1.05)  # of the epineurium, around 1; 0 is hard to see
        self.bend_depth = Texture.draw(rng, grid, 5.0, 6.5, turns=0.35, coarse=8)
        self.bend_lateral = Texture.draw(rng, grid, 4.0, 4.0, turns=0.35, coarse=8)
        self.rag_depth = Texture.draw(rng, grid, 1.6, 2.2, coarse=4)
        self.rag_lateral = Texture.draw(rng, grid, 1.8, 1.8, coarse=4)
        self.density = Texture.draw(rng, grid, 0.9, 1.1, coarse=4)
        self.fibres = Texture.draw(rng, grid, 0.14, 0.7, turns=1.5)
        self.strands = Texture.draw(rng, grid, 0.17, 1.2, turns=1.0)
        self.streakiness, self.bumpiness = rng.uniform(0.7, 1.3), rng.uniform(0.6, 1.1)
        self.taper = rng.uniform(-0.2, 1.0)  # exponent of the layers' growth from the middle to the left edge

    def plane(self, pose: Pose, visible: float) -> tuple[Tissue, Near]:
        """Return the tissue in the plane, and the nerve's neighbourhood in it."""
        place, bent, rich, lush = self._place(pose)
        tissue = self._paint_background(place, bent, rich, lush, pose.sweep)
        mixed = np.float32(0.7) * (self.fibres.plane(pose.sweep) + self.strands.plane(pose.sweep))
        for organ in self.organs:
            if not organ.seen[0] <= pose.sweep <= organ.seen[1]:
                continue
            near = organ.at(pose.sweep, pose.shift, pose.squeeze if organ.kind == "vein" else 1.0).near(place)
            if near is not None:
                PAINTERS[organ.kind](tissue, near, self._grain(mixed, near, organ.offset))
        near = self.nerve.at(pose.sweep, pose.shift, 1.0).near(place)
        if near is None:
            raise AssertionError("the nerve lies outside the frame")
        grain = self._grain(mixed, near, self.nerve.offset)
        paint_nerve(tissue, near, grain, self._turned_fascicles(pose.sweep), visible, self.contrast)
        return tissue, near

    def _grain(self, mixed: Map, near: Near, offset: float) -> Map:
        """Return the texture within an organ. It leans with the long axis, but less: fibres across the beam show best."""
        lean = np.float32(0.6 * near.angle)
        sin, cos = np.sin(lean), np.cos(lean)
        depth = near.along * sin + near.across * cos + np.float32(20.0 + 8.0 * offset)
        lateral = near.along * cos - near.across * sin + np.float32(0.5 * self.grid.width_mm)
        return sample(mixed, self.fibres.pitch, depth, lateral)

    def _place(self, pose: Pose) -> tuple[Place, Map, Map, Map]:
        """Return where samples lie, their depth in the layers, and where tissue is rich in fascia and lush (bright)."""
        grid = self.grid
        down, side = self.bend_depth.over(grid, pose.sweep), self.bend_lateral.over(grid, pose.sweep)
        # Skin is flat against the probe, so the bend fades in below it.
        free = np.clip((grid.depth - np.float32(1.5)) * np.float32(1.0 / 5.0), 0.0, 1.0)
        beside = grid.lateral - np.float32(0.5 * grid.width_mm)
        ragged = self.rag_depth.over(grid, pose.sweep), self.rag_lateral.over(grid, pose.sweep)
        gentle, rough = np.float32(0.7), np.float32(0.35 * self.bumpiness)
        bent = down * np.float32(1.5 * self.bumpiness) + np.float32(pose.tilt) * beside + rough * ragged[0]
        # Below the skin the layers taper to the right, as the sternocleidomastoid does over the plexus.
        thinner = np.exp(beside * np.float32(self.taper / grid.width_mm)) - np.float32(1.0)
        bent = grid.depth + free * (bent + thinner * np.minimum(grid.depth, np.float32(12.0)))
        depth = grid.depth + (gentle * down + rough * ragged[0]) * free
        lateral = grid.lateral + (gentle * side + rough * ragged[1]) * free
        return Place(grid, depth, lateral), bent, down, side

    def _paint_background(self, place: Place, bent: Map, rich: Map, lush: Map, sweep: float) -> Tissue:
        tissue = Tissue.uniform(self.grid.shape)
        fine = sample(self.fibres.plane(sweep), self.fibres.pitch, bent, place.lateral)
        coarse = sample(self.strands.plane(sweep), self.strands.pitch, bent, place.lateral)
        density = self.density.over(self.grid, sweep)
        density *= np.clip(self.grid.depth * np.float32(1.0 / 4.0), 0.3, 1.0)  # skin is even
        row = self.layers.row(bent)
        strength = self.layers.fibres[row] * np.float32(self.streakiness)
        tissue.echo[:] = self.layers.echo[row] + lush + 4.5 * density + strength * (1.5 * fine + 1.7 * coarse)
        rich = density + np.float32(0.8) * rich
        streaks = np.maximum(coarse + 0.6 * fine + 0.9 * rich - 1.35, 0.0) * strength
        tissue.echo[:] += 24.0 * (1.0 - np.exp(-0.5 * streaks))
        tissue.mirror[:] = 0.02 * np.square(np.minimum(streaks, 3.0))
        fascia = np.minimum(self.layers.fascia[row] * np.clip(0.6 + 0.4 * rich + 0.7 * coarse, 0.0, 2.0), 2.0)
        tissue.echo[:] += 9.0 * fascia
        tissue.mirror[:] += 0.06 * np.square(fascia)
        tissue.attenuation[:] += 0.1 * density - 0.08 * lush + 0.6 * tissue.mirror
        return tissue

    def _turned_fascicles(self, sweep: float) -> NDArray[np.float32]:
        """Twist the plexus along the sweep: its fascicles wander around each other within the nerve."""
        angle = 0.8 * (sweep - 0.5)
        scale = np.array([self.nerve.shape.long, self.nerve.shape.short])
        unit = self.fascicles[:, :2] / scale
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        turned = np.einsum("nk,kj->nj", unit, turn) * scale
        return np.column_stack([turned, self.fascicles[:, 2:]]).astype(np.float32)
