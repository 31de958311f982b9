"""What lies under the simulated probe: textures, shapes, and the organs of the neck, painted into a `Tissue`.

Lengths are in mm, echo strengths in dB below white, and `sweep` is the probe's position along its way (0 to 1).
Organs look as in textbook sono-anatomy of the interscalene and supraclavicular brachial plexus. Muscle is dark with
bright fibres along it. Fascia and the sheaths of organs are white where they face the beam and faint where they run along
it. Blood is nearly black, a lymph node dark with a bright hilum. Lobules (fat) and bundles (muscle in a bright sheath) are
the look-alikes: they have the nerve's size and brightness and lack only the fascicles. Most bright tissue scatters
diffusely, so speckle breaks it up; only its strongest parts are smooth interfaces.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from nerveseg.phantom.acoustics import Grid, Map, Tissue

BLOOD_DB, BONE_DB, FASCICLE_DB, SHEATH_DB = -50.0, -36.0, -40.0, -18.0
MARGIN_MM = 3.5  # how far walls, and the warp of the tissue, may reach beyond an organ's ellipse


@dataclass(frozen=True)
class Texture:
    """A normal random field of mean 0 and deviation 1 that changes smoothly along the sweep.

    Two independent fields mixed with the cosine and sine of an angle keep mean and deviation in each plane.
    """

    fields: tuple[Map, Map]
    turns: float
    pitch: tuple[float, float]

    @classmethod
    def draw(
        cls, rng: np.random.Generator, grid: Grid, across: float, along: float, *, turns: float = 0.8, coarse: int = 1
    ) -> "Texture":
        """Draw fields correlated over `across` mm in depth and `along` mm laterally, at a resolution `coarse` times lower."""
        rows, lines = (size // coarse + 2 for size in grid.shape)
        pitch = (grid.pitch[0] * coarse, grid.pitch[1] * coarse)
        fields = []
        for noise in rng.standard_normal((2, rows, lines), dtype=np.float32):
            field = cv2.GaussianBlur(noise, (0, 0), sigmaX=along / pitch[1], sigmaY=across / pitch[0])
            fields.append((field - field.mean()) / field.std())
        return cls((fields[0], fields[1]), turns, pitch)

    def plane(self, sweep: float) -> Map:
        """Return the field in one plane of the sweep, on its own grid."""
        angle = 2.0 * np.pi * self.turns * sweep
        return self.fields[0] * np.float32(np.cos(angle)) + self.fields[1] * np.float32(np.sin(angle))

    def over(self, grid: Grid, sweep: float) -> Map:
        """Return a plane of a coarse texture, stretched over the grid."""
        return cv2.resize(self.plane(sweep), grid.shape[::-1], interpolation=cv2.INTER_CUBIC)


def sample(plane: Map, pitch: tuple[float, float], depth: Map, lateral: Map) -> Map:
    """Read a texture's plane at any position. It is mirrored at its edges."""
    x, y = lateral * np.float32(1.0 / pitch[1]), depth * np.float32(1.0 / pitch[0])
    return cv2.remap(plane, x, y, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


@dataclass(frozen=True)
class Place:
    """Where each sample lies in the tissue's own coordinates: the grid, bent by the anatomy's warp."""

    grid: Grid
    depth: Map
    lateral: Map


@dataclass(frozen=True)
class Near:
    """The neighbourhood of an ellipse."""

    window: tuple[slice, slice]
    distance: Map  # to the outline in mm, negative inside
    facing: Map  # 1 where the outline is square to the beam, 0 where it runs along it
    along: Map  # mm from the centre, in the ellipse's axes, as `across`
    across: Map
    angle: float

    def inside(self, softness: float = 0.12) -> Map:
        """Return 1 inside and 0 outside, with an edge about four times `softness` mm wide."""
        return 1.0 / (1.0 + np.exp(np.clip(self.distance * np.float32(1.0 / softness), -30.0, 30.0)))

    def wall(self, thickness: float, offset: float = 0.0) -> Map:
        return np.exp(-np.square((self.distance - np.float32(offset)) * np.float32(1.0 / thickness)))

    def sheath(self, thickness: float, offset: float = 0.0) -> Map:
        """Return a wall of loose tissue, which thins out where it runs along the beam."""
        return self.wall(thickness, offset) * (0.3 + 0.6 * self.facing)


@dataclass(frozen=True)
class Ellipse:
    lateral: float
    depth: float
    long: float
    short: float
    angle: float

    def near(self, place: Place) -> Near | None:
        """Return the ellipse's neighbourhood; None if it lies outside the frame."""
        reach = self.long + MARGIN_MM
        rows = _span(self.depth, reach, place.grid.pitch[0], place.grid.shape[0])
        lines = _span(self.lateral, reach, place.grid.pitch[1], place.grid.shape[1])
        if rows.stop - rows.start < 2 or lines.stop - lines.start < 2:
            return None
        window = (rows, lines)
        x, y = place.lateral[window] - np.float32(self.lateral), place.depth[window] - np.float32(self.depth)
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        along, across = x * cos + y * sin, y * cos - x * sin
        u, v = along * np.float32(1.0 / self.long), across * np.float32(1.0 / self.short)
        radius = np.sqrt(u * u + v * v) + np.float32(1e-6)
        slope_u, slope_v = u / (radius * np.float32(self.long)), v / (radius * np.float32(self.short))
        slope = np.sqrt(slope_u * slope_u + slope_v * slope_v) + np.float32(1e-6)
        facing = np.abs(slope_u * sin + slope_v * cos) / slope
        return Near(window, (radius - 1.0) / slope, facing, along, across, self.angle)


def _span(centre: float, reach: float, pitch: float, size: int) -> slice:
    start, stop = int((centre - reach) / pitch), int((centre + reach) / pitch) + 1
    return slice(min(max(start, 0), size), min(max(stop, 0), size))


def blend(target: Map, cover: Map, value: Map | float) -> None:
    """Move `target` towards `value` by the share `cover`, in place."""
    target += cover * (value - target)


def paint_vessel(tissue: Tissue, near: Near, fibres: Map, wall: float = 0.05) -> None:
    """Paint blood: no echo and hardly any loss. The sides bend the beam away and cast thin edge shadows."""
    shell, inside = near.wall(0.35), near.inside(0.2)
    blend(tissue.echo[near.window], inside, BLOOD_DB)
    blend(tissue.attenuation[near.window], inside, 0.4)
    tissue.mirror[near.window] *= 1.0 - inside
    patchy = np.clip(0.4 + 0.8 * fibres, 0.0, 2.0)
    blend(tissue.echo[near.window], near.sheath(0.5, offset=0.2) * patchy.clip(0.0, 1.0), -21.0 + 4.0 * fibres)
    tissue.mirror[near.window] += wall * shell * near.facing**3 * patchy
    tissue.attenuation[near.window] += 1.5 * shell * (1.0 - near.facing) ** 4


def paint_muscle(tissue: Tissue, near: Near, fibres: Map) -> None:
    inside = 0.85 * near.inside(0.3)
    blend(tissue.echo[near.window], inside, -37.0 + 3.0 * fibres + 12.0 * np.maximum(fibres - 0.9, 0.0))
    tissue.mirror[near.window] *= 1.0 - inside
    patchy = np.clip(0.4 + 0.7 * fibres, 0.0, 2.0)
    tissue.echo[near.window] += 18.0 * near.wall(0.3) * (0.15 + 0.85 * near.facing**2) * patchy


def paint_node(tissue: Tissue, near: Near, fibres: Map) -> None:
    inside = near.inside(0.3)
    blend(tissue.echo[near.window], inside, -37.0 + 2.0 * fibres)
    tissue.mirror[near.window] *= 1.0 - inside
    hilum = np.exp(-np.square(near.along / 1.6) - np.square(near.across / 0.7))
    blend(tissue.echo[near.window], hilum, -18.0 + 4.0 * fibres)
    blend(tissue.echo[near.window], near.sheath(0.5), -22.0 + 5.0 * fibres)


def paint_lobule(tissue: Tissue, near: Near, fibres: Map) -> None:
    blend(tissue.echo[near.window], 0.9 * near.inside(0.5), SHEATH_DB - 7.0 + 6.0 * fibres)


def paint_bundle(tissue: Tissue, near: Near, fibres: Map) -> None:
    inside = near.inside(0.3)
    blend(tissue.echo[near.window], inside, -34.0 + 4.0 * fibres + 9.0 * np.maximum(fibres - 0.9, 0.0))
    tissue.mirror[near.window] *= 1.0 - inside
    blend(tissue.echo[near.window], near.sheath(0.6) * near.facing, SHEATH_DB - 2.0 + 6.0 * fibres)


def paint_cord(tissue: Tissue, near: Near, fibres: Map) -> None:
    """Paint a lone dark disc between bright caps: a small vessel or a single root, one fascicle but no column."""
    blend(tissue.echo[near.window], near.sheath(0.6, offset=0.4) * near.facing, SHEATH_DB + 5.0 * fibres)
    blend(tissue.echo[near.window], near.inside(0.2), FASCICLE_DB)
    tissue.mirror[near.window] *= 1.0 - near.inside()


def paint_bone(tissue: Tissue, near: Near, fibres: Map) -> None:
    """Paint a transverse process or rib: white where it faces the beam, and hardly any sound passes."""
    inside = near.inside(0.2)
    blend(tissue.echo[near.window], inside, BONE_DB)
    tissue.mirror[near.window] *= 1.0 - inside
    face = near.wall(0.4) * near.facing**4 * np.clip(0.7 + 0.7 * fibres, 0.1, 2.0)
    tissue.echo[near.window] += 12.0 * face
    tissue.mirror[near.window] += 0.08 * face
    tissue.attenuation[near.window] += 5.0 * inside


PAINTERS: dict[str, Callable[[Tissue, Near, Map], None]] = {
    "muscle": paint_muscle,
    "artery": paint_vessel,
    "vein": partial(paint_vessel, wall=0.02),
    "node": paint_node,
    "lobule": paint_lobule,
    "bundle": paint_bundle,
    "cord": paint_cord,
    "bone": paint_bone,
}
