"""Effects of scanner and tissue on the pixels of a B-mode frame, each with its source.

A frame is float32 of shape (H, W), 0..1, before and after. Depth runs along the rows, beams along the columns, pixels are
square. Grey is log-compressed echo: 1 is `DISPLAY_RANGE_DB` above black, so a factor on the echo's amplitude adds to its
grey. All dB are of the echo's amplitude. Masks do not change: the nerve stays where it is.
"""

from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]

DISPLAY_RANGE_DB = 60.0  # between black and white; scanners offer about 40 to 80, and frames do not say which
RAYLEIGH_DB = 10.0 / np.log(10.0) * np.pi / np.sqrt(6.0)  # 5.57 dB: standard deviation of fully developed speckle
BLACK = 0.1  # grey below which a change in dB fades out: echoes below the display's range are unknown
GRAIN = (0.6, 1.2)  # standard deviation of the point spread behind speckle, pixels along and across the beam
NOISE_RISE_DB = 30.0  # time gain from skin to the deepest row: 1 dB/cm/MHz, there and back, at 3 cm and 10 MHz
_MEAN_LOG = 10.0 / np.log(10.0) * np.euler_gamma  # 2.51 dB by which the mean log of speckle's power lies below 0
_NEPERS = np.float32(DISPLAY_RANGE_DB * np.log(10.0) / 10.0)  # log power from black to white


def amplify(frame: Pixels, decibels: Pixels | float) -> Pixels:
    """Amplify the echo by `decibels`, which broadcasts to the frame; black stays black, white is the limit."""
    share = np.minimum(frame, np.float32(BLACK))
    share *= decibels
    share *= np.float32(1.0 / (BLACK * DISPLAY_RANGE_DB))
    share += frame
    return np.clip(share, 0.0, 1.0, out=share)


def speckle(shape: tuple[int, ...], std: float, rng: np.random.Generator) -> Pixels:
    """Return the log of fully developed speckle, a map in dB for `amplify`, of mean 0 and standard deviation `std`.

    Many scatterers in a resolution cell add up to circular complex normal noise, whose Rayleigh distributed amplitude (Wagner
    et al. 1983, "Statistics of speckle in ultrasound B-scans", IEEE Trans. Sonics Ultrason.) multiplies the echo. Log
    compression turns the product into a sum and the distribution into Fisher-Tippett (Gumbel), with its tail in the dark and
    a spread, `RAYLEIGH_DB`, that does not depend on the mean (Kaplan and Ma 1993, "On the statistical characteristics of
    log-compressed Rayleigh signals", IEEE Ultrason. Symp.). Compounding and smoothing leave less. The K distribution of Dutt
    and Greenleaf (1996, IEEE Trans. Med. Imaging) is for few scatterers; a pixel of the network's input holds many.
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


def gain_curve(samples: int, coefficients: Sequence[float]) -> Pixels:
    """Return a gain in dB, (samples,), smooth and of mean 0: cosines of half a period, a whole one, ..., by coefficient.

    Over depth it is a time-gain curve, which an operator sets against the attenuation of tissue, with one slider per depth, and
    may set wrongly. Singla et al. (2022, "Speckle and Shadows", MIDL) train on changed curves. Across the beams it is the
    lateral gain of scanners with a second row of sliders, or a probe that touches the skin unevenly.
    """
    return np.asarray(coefficients, np.float32) @ _cosines(samples, len(coefficients))


def reverberation(frame: Pixels, depth: float, loss: float) -> Pixels:
    """Repeat an interface of the near field at two, three, ... times its depth, as sound does between it and the probe.

    It is the brightest row near `depth`, a share of the frame's height. Each repetition loses `loss` dB (Tirindelli et al.
    2021, "Rethinking ultrasound augmentation", MICCAI, train on such echoes). Powers add up, since the phases of real and
    false echoes are unrelated.
    """
    height = len(frame)
    half = max(1, round(0.04 * height))  # rows of the interface above and below, since it may be slanted
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
    """Widen the beam away from its focus: Gaussian across, with a standard deviation of `spread` pixels per pixel of depth
    between row and focus. `focus` is a share of the frame's height; the phantom's simulated scanner has a `spread` of 0.018.

    A Gaussian beam's width is the hypotenuse of its waist and this growth; the frame has the waist already. Rows are mixed
    from three widths so that the variance is exact.
    """
    height = len(frame)
    widths = spread * np.abs((np.arange(height, dtype=np.float32) + 0.5) - np.float32(focus * height))
    widest = float(widths.max())
    if widest < 0.05:
        return frame
    share = (widths / widest)[:, np.newaxis] ** 2  # of the maximum variance; the middle width has a quarter of it
    far = np.maximum(share - 0.25, 0.0) / 0.75
    near = np.minimum(share * 4.0, 1.0) - far
    return frame * (1.0 - near - far) + near * _across(frame, widest / 2.0) + far * _across(frame, widest)


def thermal_noise(frame: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    """Add electronic noise of the receiver, which the time gain raises with depth like the echoes.

    Its mean power is `level` dB above black in the last row and `NOISE_RISE_DB` less in the first. Powers of echo and noise
    add up; that of complex normal noise is exponentially distributed (Goodman 1975, "Statistical properties of laser speckle
    patterns", for light; the envelope of a receiver's noise is of the same kind).
    """
    height = frame.shape[0]
    depth = (np.arange(height, dtype=np.float32)[:, np.newaxis] + np.float32(0.5)) / np.float32(height)
    mean = np.exp((level - NOISE_RISE_DB * (1.0 - depth)) * np.float32(np.log(10.0) / 10.0))
    noise = rng.standard_exponential(frame.shape, dtype=np.float32) * mean
    return np.minimum(np.log(np.exp(frame * _NEPERS) + noise) / _NEPERS, np.float32(1.0))


def blur(frame: Pixels, sigma: float) -> Pixels:
    """Widen the point spread: Gaussian, twice as wide across the beam as along it; `sigma` in pixels."""
    return cv2.GaussianBlur(frame, (0, 0), sigmaX=2.0 * sigma, sigmaY=sigma)


def gain(frame: Pixels, factor: float) -> Pixels:
    """Multiply grey levels by `factor`, like the display's brightness, and clip."""
    return np.clip(frame * np.float32(factor), 0.0, 1.0)


def shadow(frame: Pixels, centre: float, width: float, top: float, depth: float) -> Pixels:
    """Cast an acoustic shadow, as below a strong reflector: a dark stripe with soft edges, down to the bottom.

    `centre` and `width` of the stripe are shares of the frame's width, `top`, where it begins, is one of its height, and
    `depth` is the share of the brightness that it takes. Smistad et al. (2018, "Highlighting nerves and blood vessels for
    ultrasound-guided axillary nerve block procedures using neural networks", J. Med. Imaging) train on Gaussian shadows.
    """
    height, columns = frame.shape
    x = (np.arange(columns, dtype=np.float32) + 0.5) / columns
    y = (np.arange(height, dtype=np.float32) + 0.5) / height
    across = np.exp(-0.5 * ((x - centre) / (0.5 * width)) ** 4)
    along = 1.0 / (1.0 + np.exp(-(y - top) * 40.0))
    return frame * (1.0 - depth * np.outer(along, across)).astype(np.float32)


@cache
def _cosines(samples: int, terms: int) -> Pixels:
    phase = (np.arange(samples, dtype=np.float32) + 0.5) * np.float32(np.pi / samples)
    return np.cos(np.arange(1, terms + 1, dtype=np.float32)[:, np.newaxis] * phase)


def _across(frame: Pixels, sigma: float) -> Pixels:
    return cv2.GaussianBlur(frame, (2 * round(3.5 * sigma) + 1, 1), sigmaX=sigma)


def _unit_power(sigma: float) -> Pixels:
    """Return a Gaussian kernel that keeps the variance of white noise."""
    kernel: Pixels = cv2.getGaussianKernel(2 * round(3.0 * sigma) + 1, sigma, cv2.CV_32F)
    return kernel / np.float32(np.linalg.norm(kernel))


def _white_noise(shape: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Return normal noise in 256 steps, picked by random bytes: ten times as fast as `rng.standard_normal`, and the point
    spread mixes a dozen, which hides the steps.
    """
    size = shape[0] * shape[1]
    picked = rng.integers(2**64, size=-(-size // 8), dtype=np.uint64).view(np.uint8)[:size].reshape(shape)
    return cv2.LUT(picked, _QUANTILES)


_ALONG, _ACROSS = (_unit_power(sigma) for sigma in GRAIN)
_QUANTILES = np.array([NormalDist().inv_cdf((step + 0.5) / 256.0) for step in range(256)], np.float32)
_QUANTILES /= _QUANTILES.std()
