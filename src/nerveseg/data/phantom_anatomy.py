"""One simulated subject: where its layers and organs lie, and what each plane of the probe's sweep cuts.

`Anatomy.draw` makes all random choices of a subject; `Anatomy.plane` has none left, so that a plane is the same
whichever planes were made before it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nerveseg.data.phantom_acoustics import DEPTH_MM, Grid, Map, Tissue
from nerveseg.data.phantom_organs import Organ, draw_fascicles, draw_nerve, draw_organs
from nerveseg.data.phantom_tissue import (
    PAINTERS,
    Near,
    Place,
    Texture,
    paint_nerve,
    sample,
)

LAYER_STEP = 0.05  # mm, of the depth profile


@dataclass(frozen=True)
class Pose:
    """How the probe is held in one frame: lateral shift in mm, tilt in mm per mm, pressure on veins (1: none)."""

    sweep: float
    shift: float = 0.0
    tilt: float = 0.0
    squeeze: float = 1.0


@dataclass(frozen=True)
class Layers:
    """Tables over tissue depth in steps of `LAYER_STEP`: echo in dB, fascia amplitude, strength of fibres."""

    echo: Map
    fascia: Map
    fibres: Map

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Layers":
        depth = np.arange(-5.0, DEPTH_MM + 10.0, LAYER_STEP)
        edges = np.cumsum([0.0, rng.uniform(0.8, 1.4), rng.uniform(1.0, 4.0), rng.uniform(2.5, 6.5), rng.uniform(1, 4)])
        levels = [-16.0, rng.uniform(-26, -20), rng.uniform(-36, -30), rng.uniform(-28, -22), rng.uniform(-32, -26)]
        strengths = [0.3, 0.8, 0.7, 1.0, rng.uniform(0.6, 1.1)]
        layer = np.clip(np.searchsorted(edges, depth, side="right") - 1, 0, len(levels) - 1)
        fascia = np.zeros_like(depth)
        lines = [*edges[1:], *rng.uniform(edges[-1] + 2.0, DEPTH_MM - 4.0, size=3), *rng.uniform(0.3, edges[2], size=3)]
        for line in lines:
            fascia += rng.uniform(0.5, 1.3) * np.exp(-np.square((depth - line) / rng.uniform(0.2, 0.4)))
        tables = (np.asarray(levels)[layer], fascia, np.asarray(strengths)[layer])
        return cls(*(table.astype(np.float32) for table in tables))

    def row(self, depth: Map) -> NDArray[np.intp]:
        rows = ((depth + np.float32(5.0)) * np.float32(1.0 / LAYER_STEP)).astype(np.intp)
        return np.clip(rows, 0, self.echo.size - 1)


@dataclass(frozen=True)
class Anatomy:
    grid: Grid
    layers: Layers
    organs: tuple[Organ, ...]
    nerve: Organ
    fascicles: NDArray[np.float32]
    contrast: float  # of the epineurium, 0 (hard to see) to 1
    bend_depth: Texture
    bend_lateral: Texture
    rag_depth: Texture
    rag_lateral: Texture
    density: Texture
    fibres: Texture
    strands: Texture
    streakiness: float
    bumpiness: float

    @classmethod
    def draw(cls, rng: np.random.Generator, grid: Grid) -> "Anatomy":
        nerve = draw_nerve(rng, grid)
        return cls(
            grid=grid,
            layers=Layers.draw(rng),
            organs=tuple(draw_organs(rng, grid, nerve.shape)),
            nerve=nerve,
            fascicles=draw_fascicles(rng, nerve.shape),
            contrast=rng.uniform(0.6, 0.95),
            bend_depth=Texture.draw(rng, grid, 5.0, 7.0, turns=0.35, coarse=8),
            bend_lateral=Texture.draw(rng, grid, 6.0, 7.0, turns=0.35, coarse=8),
            rag_depth=Texture.draw(rng, grid, 1.6, 2.2, coarse=4),
            rag_lateral=Texture.draw(rng, grid, 1.8, 1.8, coarse=4),
            density=Texture.draw(rng, grid, 1.5, 3.5, coarse=4),
            fibres=Texture.draw(rng, grid, 0.16, 1.0, turns=1.5),
            strands=Texture.draw(rng, grid, 0.26, 2.2, turns=1.0),
            streakiness=rng.uniform(0.7, 1.3),
            bumpiness=rng.uniform(0.6, 1.1),
        )

    def plane(self, pose: Pose, visible: float) -> tuple[Tissue, Map]:
        """The tissue in the plane, and the distance in mm to the nerve's outline (negative inside)."""
        place, bent = self._place(pose)
        tissue = self._paint_background(place, bent, pose.sweep)
        fibres = self.fibres.plane(pose.sweep)
        strands = self.strands.plane(pose.sweep)
        for organ in self.organs:
            near = organ.at(pose.sweep, pose.shift, pose.squeeze if organ.kind == "vein" else 1.0).near(place)
            if near is not None and organ.visible(pose.sweep):
                PAINTERS[organ.kind](tissue, near, self._grain(fibres, strands, near, organ.offset))
        outline = np.full(self.grid.shape, np.inf, np.float32)
        near = self.nerve.at(pose.sweep, pose.shift, 1.0).near(place)
        if near is None:
            raise AssertionError("the nerve is drawn inside of the frame")
        grain = self._grain(fibres, strands, near, self.nerve.offset)
        paint_nerve(tissue, near, grain, self._turned_fascicles(pose.sweep), visible, self.contrast)
        outline[near.window] = near.distance
        return tissue, outline

    def _grain(self, fibres: Map, strands: Map, near: Near, offset: float) -> Map:
        """Texture within an organ, running along its long axis."""
        depth, lateral = (
            near.across + np.float32(20.0 + 8.0 * offset),
            near.along + np.float32(0.5 * self.grid.width_mm),
        )
        fine = sample(fibres, self.fibres.pitch, depth, lateral)
        return np.float32(0.7) * (fine + sample(strands, self.strands.pitch, depth, lateral))

    def _place(self, pose: Pose) -> tuple[Place, Map]:
        grid = self.grid
        down = self.bend_depth.over(grid, pose.sweep)
        side = self.bend_lateral.over(grid, pose.sweep)
        # The skin lies flat against the probe: the bend fades in below it.
        free = np.minimum(grid.depth * np.float32(1.0 / 6.0), 1.0)
        tilt = np.float32(pose.tilt) * (grid.lateral - np.float32(0.5 * grid.width_mm))
        bent = grid.depth + free * (down * np.float32(1.8 * self.bumpiness) + tilt)
        ragged = self.rag_depth.over(grid, pose.sweep), self.rag_lateral.over(grid, pose.sweep)
        gentle, rough = np.float32(0.6), np.float32(0.3 * self.bumpiness)
        bent += free * rough * ragged[0]
        place = Place(
            grid,
            grid.depth + (gentle * down + rough * ragged[0]) * free,
            grid.lateral + (gentle * side + rough * ragged[1]) * free,
        )
        return place, bent

    def _paint_background(self, place: Place, bent: Map, sweep: float) -> Tissue:
        tissue = Tissue.uniform(self.grid.shape)
        lateral = place.lateral
        fine = sample(self.fibres.plane(sweep), self.fibres.pitch, bent, lateral)
        coarse = sample(self.strands.plane(sweep), self.strands.pitch, bent, lateral)
        density = self.density.over(self.grid, sweep)
        row = self.layers.row(bent)
        strength = self.layers.fibres[row] * np.float32(self.streakiness)
        tissue.echo[:] = self.layers.echo[row] + 4.0 * density + strength * (3.0 * fine + 4.0 * coarse)
        streaks = np.maximum(coarse + 0.7 * fine + 0.7 * density - 1.6, 0.0)
        tissue.mirror[:] = 0.1 * strength * streaks
        tissue.mirror[:] += 0.12 * self.layers.fascia[row] * np.clip(0.5 + 0.7 * density + 0.5 * coarse, 0.0, 2.0)
        tissue.attenuation[:] += 0.12 * density + 0.8 * tissue.mirror
        return tissue

    def _turned_fascicles(self, sweep: float) -> NDArray[np.float32]:
        """The plexus twists on its way: its fascicles wander around each other within the nerve."""
        angle = 0.8 * (sweep - 0.5)
        scale = np.array([self.nerve.shape.long, self.nerve.shape.short])
        unit = self.fascicles[:, :2] / scale
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        turned = np.einsum("nk,kj->nj", unit, turn) * scale
        return np.column_stack([turned, self.fascicles[:, 2:]]).astype(np.float32)
