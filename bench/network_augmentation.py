"""What the arms of `bench/network_study.py` do to a batch beyond the pipeline's own augmentation.

Frames are float32 (N, H, W, 1) 0..255, masks float32 of that shape, 0..1.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from network_arms import Arm, equalised


def augmented(
    frames: NDArray[np.float32], masks: NDArray[np.float32], arm: Arm, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a batch with the arm's own augmentation."""
    if arm.stretched:
        frames, masks = _stretched(frames, masks, arm.stretched, rng)
    if arm.local_contrast:
        chosen = rng.random(len(frames)) < arm.local_contrast
        frames[chosen] = equalised(frames[chosen]) if chosen.any() else frames[chosen]
    if arm.fourier:
        frames = _amplitudes_mixed(frames, arm.fourier, rng)
    if arm.elastic:
        frames, masks = bent(frames, masks, arm.elastic, rng)
    if arm.filtered:
        frames = _filtered(frames, rng)
    if arm.holes:
        frames = _with_holes(frames, rng)
    if arm.mixed:
        weights = rng.beta(0.4, 0.4, (len(frames), 1, 1, 1)).astype(np.float32)
        partners = rng.permutation(len(frames))
        frames = weights * frames + (1 - weights) * frames[partners]
        masks = weights * masks + (1 - weights) * masks[partners]
    return frames, masks


def _stretched(
    frames: NDArray[np.float32], masks: NDArray[np.float32], most: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Make each frame, and its mask, wider and lower or narrower and higher, and shear it; the centre stays."""
    height, width = frames.shape[1:3]
    results = np.empty_like(frames), np.empty_like(masks)
    for number, pair in enumerate(zip(frames, masks, strict=True)):
        stretch, shear = np.exp(rng.uniform(-most, most)), rng.uniform(-most, most)
        linear = np.array([[stretch, shear], [0.0, 1.0 / stretch]])
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        matrix = np.column_stack([linear, centre - linear @ centre])
        for result, given in zip(results, pair, strict=True):
            result[number, ..., 0] = cv2.warpAffine(
                given[..., 0], matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
            )
    return results


def _amplitudes_mixed(
    frames: NDArray[np.float32], share: float, rng: np.random.Generator, coarsest: float = 0.1
) -> NDArray[np.float32]:
    """Mix the amplitudes of the lowest tenth of the frequencies with those of another frame; phases stay."""
    spectra = np.fft.rfft2(frames[..., 0])
    amplitudes, phases = np.abs(spectra), np.angle(spectra)
    rows, columns = np.meshgrid(np.fft.fftfreq(frames.shape[1]), np.fft.rfftfreq(frames.shape[2]), indexing="ij")
    low = (np.abs(rows) < coarsest / 2) & (np.abs(columns) < coarsest / 2)
    weights = rng.uniform(0, 1, (len(frames), 1, 1)) * (rng.random((len(frames), 1, 1)) < share) * low
    mixed = (1 - weights) * amplitudes + weights * amplitudes[rng.permutation(len(frames))]
    result = np.fft.irfft2(mixed * np.exp(1j * phases), s=frames.shape[1:3])
    return np.clip(result, 0, 255).astype(np.float32)[..., np.newaxis]


def bent(
    frames: NDArray[np.float32], masks: NDArray[np.float32], pixels: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Deform each frame at random, and its mask in the same way."""
    height, width = frames.shape[1:3]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    results = np.empty_like(frames), np.empty_like(masks)
    for number, pair in enumerate(zip(frames, masks, strict=True)):
        shifts = cv2.resize(
            rng.normal(0, pixels, (4, 5, 2)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        places = columns + shifts[..., 0], rows + shifts[..., 1]
        for result, given in zip(results, pair, strict=True):
            moved = cv2.remap(given[..., 0], *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
            result[number, ..., 0] = moved
    return results


def _with_holes(frames: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    result, sides = frames.copy(), np.array(frames.shape[1:3])
    for number in np.flatnonzero(rng.random(len(frames)) < 0.5):
        hole = (sides * rng.uniform(0.25, 0.5, 2)).astype(int)
        top, left = rng.integers(0, sides - hole + 1)
        result[number, top : top + hole[0], left : left + hole[1]] = frames[number].mean()
    return result


def _filtered(frames: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Convolve half of the frames with a random kernel, and restore their mean and standard deviation."""
    result = frames.copy()
    for number in np.flatnonzero(rng.random(len(frames)) < 0.5):
        frame = frames[number, ..., 0]
        found = cv2.filter2D(frame, cv2.CV_32F, rng.normal(size=(3, 3)), borderType=cv2.BORDER_REFLECT_101)
        found = (found - found.mean()) / max(1e-3, float(found.std()))
        result[number, ..., 0] = np.clip(frame.mean() + frame.std() * found, 0, 255)
    return result
