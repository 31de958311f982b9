"""How the simulated scanner turns tissue into a B-mode frame.

Tissue is a grid of `rows` depths by `lines` beams, and three float32 maps on it:

- `echo`: strength of diffuse scattering in dB. A pixel is longer than half a wavelength at 10 MHz and holds many
  scatterers. Their echoes add up with uniform phases to circular complex normal noise, whose envelope is Rayleigh
  distributed with a mean of 1.91 standard deviations (Wagner et al. 1983, IEEE Trans. Sonics Ultrason.).
- `mirror`: amplitude of smooth interfaces (fascia, vessel wall, bone), whose echo is coherent and has no speckle.
- `attenuation`: round-trip loss in dB/mm. The loss is summed along each beam, and the time gain restores the loss of
  average soft tissue: tissue below fluid comes out too bright (enhancement), below bone too dark (shadow).

The echo signal is the tissue convolved with the scanner's point-spread function (the linear model of Bamber and
Dickinson 1980, Phys. Med. Biol.; Field II, Jensen 1996, derives the same convolution from the transducer's geometry).
The point spread is Gaussian: short along the beam, wide across it, and wider away from the focus. It has unit energy at
each depth, so the beam's width changes the grain of speckle but not its brightness. Several looks with independent
speckle are averaged in power, as in a compounding scanner. Clutter adds a share of the power around each sample.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

DEPTH_MM = 40.0
SOFT_TISSUE_DB_PER_MM = 1.0  # 0.5 dB/cm/MHz at 10 MHz, there and back
PULSE_MM = 0.14  # standard deviation of the pulse's envelope along the beam
BEAM_MM = 0.21  # standard deviation of the beam across, in the focus
SPREAD = 0.018  # growth of the beam per mm away from the focus
NOISE_DB = -65.0  # clutter and noise at the skin; the time gain raises them with depth
NOISE_GROWTH_DB_PER_MM = 0.35
CLUTTER_DB, CLUTTER_MM = -32.0, 2.0  # echoes from beside the beam and from detours, and how far they spread

Map = NDArray[np.float32]
_DB = np.float32(np.log(10.0) / 20.0)


@dataclass(frozen=True)
class Grid:
    """Depths (rows, 1) and lateral positions (1, lines) of the samples, in mm."""

    depth: Map
    lateral: Map

    @classmethod
    def of(cls, width: int, height: int) -> "Grid":
        """Two pixels across share one beam; a pixel is square and the frame is `DEPTH_MM` deep."""
        pixel, lines = DEPTH_MM / height, (width + 1) // 2
        depth = (np.arange(height, dtype=np.float32) + 0.5) * pixel
        lateral = (np.arange(lines, dtype=np.float32) + 0.5) * (pixel * width / lines)
        return cls(depth[:, None], lateral[None, :])

    @property
    def shape(self) -> tuple[int, int]:
        return self.depth.shape[0], self.lateral.shape[1]

    @property
    def pitch(self) -> tuple[float, float]:
        """Distance between rows and between lines in mm."""
        return 2.0 * float(self.depth[0, 0]), 2.0 * float(self.lateral[0, 0])

    @property
    def width_mm(self) -> float:
        return self.shape[1] * self.pitch[1]


@dataclass(frozen=True)
class Tissue:
    """The three maps of the module's docstring. Painters change them in place."""

    echo: Map
    mirror: Map
    attenuation: Map

    @classmethod
    def uniform(cls, shape: tuple[int, int], echo: float = 0.0) -> "Tissue":
        average = np.full(shape, SOFT_TISSUE_DB_PER_MM, np.float32)
        return cls(np.full(shape, echo, np.float32), np.zeros(shape, np.float32), average)


@dataclass(frozen=True)
class Scanner:
    """Settings for one frame: focus in mm, gain in dB, slope error of the time gain in dB/mm, dynamic range in dB."""

    focus: float = 16.0
    gain: float = 0.0
    slope: float = 0.0
    dynamic_range: float = 51.0
    looks: int = 3


def brightness(tissue: Tissue, grid: Grid, slope: float = 0.0) -> Map:
    """Return loss and time gain together, in dB, at each sample."""
    excess = tissue.attenuation - np.float32(SOFT_TISSUE_DB_PER_MM + slope)
    return np.cumsum(excess, axis=0, dtype=np.float32) * np.float32(-grid.pitch[0])


def echo_envelope(tissue: Tissue, grid: Grid, scanner: Scanner, rng: np.random.Generator) -> Map:
    """Return the envelope before compression, the root mean square of the looks."""
    rows, lines = grid.shape
    through = brightness(tissue, grid, scanner.slope)
    noise = np.exp((np.float32(NOISE_DB) + np.float32(NOISE_GROWTH_DB_PER_MM) * grid.depth) * _DB)
    diffuse = np.hypot(np.exp((tissue.echo + through) * _DB), noise) * np.float32(np.sqrt(0.5))
    coherent = tissue.mirror * np.exp(through * _DB)
    diffuse = np.hypot(diffuse, _clutter(diffuse, coherent, grid))
    spread = _lateral_transfer(grid, scanner.focus)
    axial = PULSE_MM / grid.pitch[0]
    loudness = np.float32(np.sqrt(2.0 * np.sqrt(np.pi) * axial))
    power = np.zeros(grid.shape, np.float32)
    for _ in range(scanner.looks):
        echoes = rng.standard_normal((rows, lines, 2), dtype=np.float32)
        echoes *= diffuse[..., None]
        echoes[..., 0] += coherent
        echoes = cv2.GaussianBlur(echoes, (1, 2 * round(3.5 * axial) + 1), sigmaX=1.0, sigmaY=axial)
        spectrum = fft.fft(echoes.view(np.complex64)[..., 0], n=spread.shape[1], axis=1, overwrite_x=True, workers=1)
        spectrum *= spread
        signal = fft.ifft(spectrum, axis=1, overwrite_x=True, workers=1)[:, :lines]
        power += np.square(signal.real) + np.square(signal.imag)
    return np.sqrt(power / np.float32(scanner.looks)) * loudness


def _clutter(diffuse: Map, coherent: Map, grid: Grid) -> Map:
    """Return the echo that the surroundings add: blood and fascicles turn grey near bright tissue."""
    power = np.square(diffuse) + np.square(coherent)
    small = cv2.resize(power, None, fx=1.0 / 8.0, fy=1.0 / 8.0, interpolation=cv2.INTER_AREA)
    sigma = [CLUTTER_MM / pitch / 8.0 for pitch in grid.pitch]
    small = np.sqrt(cv2.GaussianBlur(small, (0, 0), sigmaX=sigma[1], sigmaY=sigma[0]))
    strayed = cv2.resize(small, grid.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return strayed * np.float32(10.0 ** (CLUTTER_DB / 20.0))


def _lateral_transfer(grid: Grid, focus: float) -> Map:
    # Padding by the widest beam keeps the circular convolution from wrapping the right edge around to the left.
    width_mm = np.hypot(np.float32(BEAM_MM), np.float32(SPREAD) * (grid.depth - np.float32(focus)))
    deviation = width_mm / np.float32(grid.pitch[1])
    padded = fft.next_fast_len(grid.shape[1] + int(4.0 * float(deviation.max())) + 1)
    frequency = fft.fftfreq(padded).astype(np.float32)[None, :]
    unit_energy = np.sqrt(np.float32(2.0 * np.sqrt(np.pi)) * deviation)
    return unit_energy * np.exp(np.float32(-2.0 * np.pi**2) * np.square(frequency * deviation))
