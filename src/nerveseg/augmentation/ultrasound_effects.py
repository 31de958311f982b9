"""What a scanner and the tissue do to the pixels of a B-mode frame: pure functions, each with its source.

A frame here is float32 of shape (H, W), 0..1; so is what comes back. Depth runs along the rows, beams along the columns,
pixels are square. Grey is log-compressed echo: 1 stands `DISPLAY_RANGE_DB` above black, so a factor on the echo's
amplitude is a sum on its grey. What the effects are given in dB is dB of the echo's amplitude.

Masks do not change: the nerve stays where it is.
"""

from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]

DISPLAY_RANGE_DB = 60.0  # between black and white; scanners offer about 40 to 80, and a frame does not say which
RAYLEIGH_DB = 10.0 / np.log(10.0) * np.pi / np.sqrt(6.0)  # 5.57 dB: standard deviation of fully developed speckle
BLACK = 0.1  # grey below which a change in dB fades out: what lay below the display's range is not known
GRAIN = (0.6, 1.2)  # standard deviation of the point spread behind speckle, pixels along and across the beam
NOISE_RISE_DB = 30.0  # of the time gain between skin and the deepest row: 1 dB/cm/MHz, to and fro, at 3 cm and 10 MHz
_MEAN_LOG = 10.0 / np.log(10.0) * np.euler_gamma  # 2.51 dB by which the mean log of speckle's power lies below 0
_NEPERS = np.float32(DISPLAY_RANGE_DB * np.log(10.0) / 10.0)  # log power from black to white


def amplify(frame: Pixels, decibels: Pixels | float) -> Pixels:
    """Amplify the echo by `decibels`, a map that broadcasts to the frame; black stays black, white is the limit."""
    share = np.minimum(frame, np.float32(BLACK))
    share *= decibels
    share *= np.float32(1.0 / (BLACK * DISPLAY_RANGE_DB))
    share += frame
    return np.clip(share, 0.0, 1.0, out=share)


def speckle(shape: tuple[int, int], std: float, rng: np.random.Generator) -> Pixels:
    """The log of fully developed speckle, a map in dB for `amplify`, of mean 0 and standard deviation `std`.

    Many scatterers in a resolution cell add up to circular complex normal noise, whose amplitude is Rayleigh distributed
    (Wagner et al. 1983, "Statistics of speckle in ultrasound B-scans", IEEE Trans. Sonics Ultrason.) and multiplies the
    echo; log compression makes a sum of the product and a Fisher-Tippett (Gumbel) distribution of the Rayleigh one, with
    its tail in the dark and a spread that does not depend on the mean (Kaplan and Ma 1993, "On the statistical
    characteristics of log-compressed Rayleigh signals", IEEE Ultrason. Symp.). `RAYLEIGH_DB` is that spread in full;
    less is the speckle that compounding and smoothing leave. The K distribution of Dutt and Greenleaf (1996, IEEE
    Trans. Med. Imaging) is for few scatterers; a pixel of the network's input, some tenths of a millimetre, holds many.
    """
    rows, columns = len(_ALONG) // 2, len(_ACROSS) // 2
    height, width = shape[0] + 2 * rows, shape[1] + 2 * columns
    both = cv2.sepFilter2D(_white_noise((2 * height, width), rng), cv2.CV_32F, _ACROSS, _ALONG)
    amplitude = cv2.magnitude(both[:height], both[height:])  # real and imaginary part
    decibels: Pixels = cv2.log(np.maximum(amplitude, np.float32(1e-6), out=amplitude))
    # The two parts have variance 1 each, the power mean 2.
    scale = std / RAYLEIGH_DB
    decibels *= np.float32(scale * 20.0 / np.log(10.0))
    decibels += np.float32(scale * (_MEAN_LOG - 10.0 * np.log10(2.0)))
    return decibels[rows:-rows, columns:-columns]


def time_gain(height: int, coefficients: Sequence[float]) -> Pixels:
    """A time-gain curve, (height, 1) in dB for `amplify`: smooth over depth, of mean 0.

    The curve that an operator sets for the attenuation of tissue, one slider a depth, or sets wrongly; Singla et al.
    (2022, "Speckle and Shadows", MIDL) train on changed curves.

    Args:
        height: rows of the frame.
        coefficients: in dB, of the cosines of half a period, a whole one, ... over the depth.
    """
    return _cosines(height, coefficients)[:, np.newaxis]


def lateral_gain(width: int, coefficients: Sequence[float]) -> Pixels:
    """The like of `time_gain` across the beams, (1, width): the lateral gain that scanners with a second row of sliders
    have beside the time gain, or a probe that touches the skin unevenly.
    """
    return _cosines(width, coefficients)[np.newaxis, :]


def reverberation(frame: Pixels, depth: float, loss: float) -> Pixels:
    """Echoes of an interface of the near field at two, three, ... times its depth: sound goes to and fro between it and
    the probe, and each journey takes `loss` dB (Tirindelli et al. 2021, "Rethinking ultrasound augmentation", MICCAI,
    train on such echoes). Powers add up, as the phases of real and false echoes have nothing to do with each other.

    Args:
        frame: the frame.
        depth: of the interface, as a share of the frame's height; it is the brightest row about there.
        loss: of each further echo, dB.
    """
    height = len(frame)
    half = max(1, round(0.04 * height))  # rows above and below that belong to the interface, which may be slanted
    nearest = min(max(2 * half + 1, round(depth * height) - half), height - 1 - half)
    spacing = nearest + int(frame[nearest : nearest + 2 * half + 1].mean(axis=1).argmax())
    orders = np.arange(2, (height - 1 - half) // spacing + 1)
    if not len(orders):
        return frame
    offsets = np.arange(-half, half + 1)
    rows = orders[:, np.newaxis] * spacing + offsets
    soft = np.exp(-2.0 * (offsets / half) ** 2)
    strength = (10.0 ** (-0.1 * loss * (orders - 1.0)))[:, np.newaxis] * soft
    interface = np.exp(frame[spacing + offsets] * _NEPERS) - np.float32(1.0)  # black, a power of 1, has no echo
    power = np.exp(frame[rows] * _NEPERS) + strength.astype(np.float32)[..., np.newaxis] * interface
    echoed = frame.copy()
    echoed[rows] = np.minimum(np.log(power) / _NEPERS, np.float32(1.0))
    return echoed


def defocus(frame: Pixels, focus: float, spread: float) -> Pixels:
    """A beam that widens away from its focus: Gaussian across, its standard deviation `spread` pixels for each pixel of
    depth between row and focus.

    A Gaussian beam's width is the hypotenuse of its waist and of that growth; the frame has the waist already. Between
    three widths rows are mixed so that the variance is exact.

    Args:
        frame: the frame.
        focus: its depth, as a share of the frame's height.
        spread: of the beam, dimensionless; the simulated scanner of the phantom has 0.018.
    """
    height = len(frame)
    widths = spread * np.abs((np.arange(height, dtype=np.float32) + 0.5) - np.float32(focus * height))
    widest = float(widths.max())
    if widest < 0.05:
        return frame
    share = (widths / widest)[:, np.newaxis] ** 2  # of the greatest variance; the middle width has a quarter of it
    far = np.maximum(share - 0.25, 0.0) / 0.75
    near = np.minimum(share * 4.0, 1.0) - far
    mixed: Pixels = frame * (1.0 - near - far)
    mixed += near * _across(frame, widest / 2.0)
    mixed += far * _across(frame, widest)
    return mixed


def thermal_noise(frame: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    """Electronic noise of the receiver, which the time gain raises with depth as it raises the echoes from there: its mean
    power stands `level` dB above black in the last row, and `NOISE_RISE_DB` less in the first.

    Powers of echo and noise add up; that of complex normal noise is exponentially distributed (Goodman 1975, "Statistical
    properties of laser speckle patterns", for light; the envelope of a receiver's noise is of the same kind).
    """
    height = frame.shape[0]
    depth = (np.arange(height, dtype=np.float32)[:, np.newaxis] + np.float32(0.5)) / np.float32(height)
    mean = np.exp((level - NOISE_RISE_DB * (1.0 - depth)) * np.float32(np.log(10.0) / 10.0))
    noise = rng.standard_exponential(frame.shape, dtype=np.float32) * mean
    noisy: Pixels = np.log(np.exp(frame * _NEPERS) + noise) / _NEPERS
    return np.minimum(noisy, np.float32(1.0))


def blur(frame: Pixels, sigma: float) -> Pixels:
    """A wider point-spread function: Gaussian, twice as wide across the beam as along it; `sigma` in pixels."""
    return cv2.GaussianBlur(frame, (0, 0), sigmaX=2.0 * sigma, sigmaY=sigma)


def gain(frame: Pixels, factor: float) -> Pixels:
    """Grey levels times `factor`, as the display's brightness; what leaves its range is clipped."""
    return np.clip(frame * np.float32(factor), 0.0, 1.0)


def shadow(frame: Pixels, centre: float, width: float, top: float, depth: float) -> Pixels:
    """An acoustic shadow below a strong reflector: a dark stripe with soft edges (Smistad et al. 2018, "Highlighting
    nerves and blood vessels for ultrasound-guided axillary nerve block procedures using neural networks", J. Med.
    Imaging, train on Gaussian shadows; here the shadow goes on to the bottom).

    Args:
        frame: the frame.
        centre: of the stripe, as a share of the frame's width.
        width: of the stripe, as a share of the frame's width.
        top: where it begins, as a share of the frame's height.
        depth: share of the brightness that it takes, 0..1.
    """
    height, columns = frame.shape
    x = (np.arange(columns, dtype=np.float32) + 0.5) / columns
    y = (np.arange(height, dtype=np.float32) + 0.5) / height
    across = np.exp(-0.5 * ((x - centre) / (0.5 * width)) ** 4)
    along = 1.0 / (1.0 + np.exp(-(y - top) * 40.0))
    darkening: Pixels = (1.0 - depth * np.outer(along, across)).astype(np.float32)
    return frame * darkening


@cache
def _cosine_basis(samples: int, terms: int) -> Pixels:
    phase = (np.arange(samples, dtype=np.float32) + 0.5) * np.float32(np.pi / samples)
    basis: Pixels = np.cos(np.arange(1, terms + 1, dtype=np.float32)[:, np.newaxis] * phase)
    return basis


def _cosines(samples: int, coefficients: Sequence[float]) -> Pixels:
    curve: Pixels = np.asarray(coefficients, np.float32) @ _cosine_basis(samples, len(coefficients))
    return curve


def _across(frame: Pixels, sigma: float) -> Pixels:
    return cv2.GaussianBlur(frame, (2 * round(3.5 * sigma) + 1, 1), sigmaX=sigma)


def _unit_power(sigma: float) -> Pixels:
    """A Gaussian kernel that keeps the variance of white noise."""
    kernel: Pixels = cv2.getGaussianKernel(2 * round(3.0 * sigma) + 1, sigma, cv2.CV_32F)
    return kernel / np.float32(np.linalg.norm(kernel))


def _white_noise(shape: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Normal noise in 256 steps: a random byte picks the quantile, ten times as fast as `rng.standard_normal`. After the
    point spread has mixed a dozen of them the steps are gone.
    """
    size = shape[0] * shape[1]
    picked = rng.integers(2**64, size=-(-size // 8), dtype=np.uint64).view(np.uint8)[:size].reshape(shape)
    return cv2.LUT(picked, _QUANTILES)


_ALONG, _ACROSS = (_unit_power(sigma) for sigma in GRAIN)
_QUANTILES = np.array([NormalDist().inv_cdf((step + 0.5) / 256.0) for step in range(256)], np.float32)
_QUANTILES /= _QUANTILES.std()
