"""Compare simulated and real frames in numbers.

    python bench/phantom_realism.py data/phantom data/raw/bp256 data/raw/bp_native [--csv FILE] [--per-subject 20]

Each folder is in Kaggle's layout. Prints one row per measure: the phantom's median and 5 to 95 % range over its subjects, those of
each real set over its subjects (over its frames if it has fewer than ten), whether the phantom's median is inside the real range,
and the share of its subjects that are.

Like is compared with like. If real frames are smaller than the phantom's, the phantom is reduced by area and passed through JPEG
once, as those frames were (JPEG_QUALITY matches the steps of their DCT coefficients). If all frames of a real set show a nerve, the
comparison leaves out the phantom's frames without one. Measures of the nerve cover the frames that show it. Lengths are in percent
of the frame's height, so that one list serves both sizes; frequencies are in cycles per frame height. The value of a subject is the
median over its frames.

- grey: quantiles, shares of black and saturated pixels, means of four bands of depth, and the Wasserstein distance to the histogram
  of the real set (for a real subject: of the other real subjects).
- speckle contrast, speckle length: in square patches of 5 % of the height. Of all patches on a grid with a mean between 30 and 180,
  the tenth with the least structure is kept: the smallest standard deviation of the frame blurred by 1.7 %. The blur removes the
  speckle, so the selection does not depend on what is measured. Contrast is standard deviation over mean of grey levels; length is
  the width at half height of the patches' mean autocorrelation.
- structure length and spectra leave out the skin and the first columns, where the screen's marker would dominate the tissue.
  Length: where the autocorrelation falls to 1/e. Spectra: Welch's, along columns (axial) and rows (lateral), of the frame minus its
  mean; slope in log-log from 3 to 60 cycles; energies as shares of 1 to 90 cycles.
- nerve: orientation is that of the major axis, 0 along the skin, 90 upright, 45 up to the right; the ring around the nerve is 4 % of
  the height wide; texture ratio is the standard deviation inside divided by that in the ring.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import fft, signal, stats
from skimage.measure import label, regionprops

from nerveseg.errors import told_plainly
from nerveseg.imaging.arrays import Frame, Mask
from nerveseg.imaging.mask_files import read_masks
from nerveseg.preprocessing.annotated_frames import AnnotatedFrame, load
from nerveseg.preprocessing.layouts import Source, natural_key, recognise
from nerveseg.preprocessing.source_files import Reading

JPEG_QUALITY = 95
FEW_SUBJECTS = 10
SKIN = 0.05  # share of the height that the probe's marker covers
GREYS = np.arange(256)
Row = dict[str, float]


def grey_measures(frame: Frame) -> Row:
    row = {f"grey {quantile} %": float(np.percentile(frame, quantile)) for quantile in (5, 25, 50, 75, 95)}
    row |= {"black share %": 100.0 * float(np.mean(frame <= 5)), "saturated %": 100.0 * float(np.mean(frame >= 250))}
    bands = ((0.0, SKIN), (SKIN, 0.2), (0.2, 0.6), (0.6, 1.0))
    edges = [[round(share * frame.shape[0]) for share in band] for band in bands]
    names = ("skin", "upper", "middle", "lower")
    return row | {f"grey {name}": float(frame[a:b].mean()) for name, (a, b) in zip(names, edges, strict=True)}


def speckle_measures(frame: Frame) -> Row:
    """Return contrast and autocorrelation in the patches with the least structure."""
    height, side = frame.shape[0], round(0.05 * frame.shape[0])
    grey = frame.astype(np.float32)
    smooth = cv2.GaussianBlur(grey, (0, 0), 0.017 * height)

    def patches(image: NDArray[np.float32]) -> NDArray[np.float32]:
        rows, lines = image.shape[0] // side, image.shape[1] // side
        return (
            image[: rows * side, : lines * side].reshape(rows, side, lines, side).swapaxes(1, 2).reshape(-1, side, side)
        )

    tiles, rough = patches(grey), patches(smooth).std(axis=(1, 2))
    mean = tiles.mean(axis=(1, 2))
    usable = np.flatnonzero((mean > 30.0) & (mean < 180.0))
    if usable.size < 20:
        return {}
    chosen = usable[np.argsort(rough[usable], kind="stable")[: max(usable.size // 10, 2)]]
    homogeneous = tiles[chosen] - mean[chosen, None, None]
    correlation = _autocorrelation(homogeneous).mean(axis=0)
    unit = 100.0 / height
    return {
        "speckle contrast": float(np.median(homogeneous.std(axis=(1, 2)) / mean[chosen])),
        "speckle length axial": 2.0 * unit * _falls_to(correlation[:, 0], 0.5),
        "speckle length lateral": 2.0 * unit * _falls_to(correlation[0], 0.5),
    }


def structure_measures(frame: Frame) -> Row:
    height = frame.shape[0]
    grey = frame[round(SKIN * height) :, round(0.01 * height) :].astype(np.float32)
    correlation = _autocorrelation((grey - grey.mean())[None])[0]
    row = {
        "structure length axial": 100.0 / height * _falls_to(correlation[:, 0], np.exp(-1.0)),
        "structure length lateral": 100.0 / height * _falls_to(correlation[0], np.exp(-1.0)),
    }
    for name, axis in (("axial", 0), ("lateral", 1)):
        frequency, power = signal.welch(grey - grey.mean(), fs=height, nperseg=round(0.8 * height), axis=axis)
        spectrum = power.mean(axis=1 - axis)
        fitted = (frequency >= 3.0) & (frequency <= 60.0)
        row[f"slope {name}"] = stats.linregress(np.log(frequency[fitted]), np.log(spectrum[fitted])).slope
        total = spectrum[(frequency >= 1.0) & (frequency < 90.0)].sum()
        for low, high in ((1, 5), (5, 15), (15, 40), (40, 90)):
            share = spectrum[(frequency >= low) & (frequency < high)].sum() / total
            row[f"energy {name} {low}-{high} %"] = 100.0 * float(share)
    return row


def nerve_measures(frame: Frame, mask: Mask) -> Row:
    height, width = frame.shape
    nerve = max(regionprops(label(mask)), key=lambda region: region.area)
    ring_width = max(round(0.04 * height), 2)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * ring_width + 1, 2 * ring_width + 1))
    ring = cv2.dilate(mask.astype(np.uint8), kernel).astype(np.bool_) & ~mask
    inside, around = frame[mask].astype(np.float64), frame[ring].astype(np.float64)
    # skimage counts from the row axis, with rows growing downwards.
    orientation = (np.degrees(nerve.orientation) + 90.0) % 180.0
    return {
        "nerve area %": 100.0 * float(mask.mean()),
        "nerve aspect": nerve.axis_major_length / nerve.axis_minor_length,
        "nerve orientation": orientation,
        "nerve solidity": nerve.solidity,
        "nerve lateral %": 100.0 * nerve.centroid[1] / width,
        "nerve depth %": 100.0 * nerve.centroid[0] / height,
        "nerve contrast": inside.mean() / max(around.mean(), 1.0),
        "nerve texture ratio": inside.std() / max(around.std(), 1.0),
        "nerve grey 95 % - 5 %": float(np.subtract(*np.percentile(inside, [95, 5]))),
    }


def measure_frame(frame: Frame, mask: Mask) -> Row:
    row = grey_measures(frame) | speckle_measures(frame) | structure_measures(frame)
    return row | nerve_measures(frame, mask) if mask.any() else row


def _autocorrelation(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the autocorrelation of each image (N, H, W), for lags from 0 to half of each side; 1 at lag 0."""
    rows, lines = images.shape[1:]
    power = np.square(np.abs(fft.rfft2(images.astype(np.float64), s=(2 * rows, 2 * lines))))
    covariance = fft.irfft2(power, s=(2 * rows, 2 * lines))[:, : rows // 2 + 1, : lines // 2 + 1]
    overlap = np.outer(rows - np.arange(rows // 2 + 1), lines - np.arange(lines // 2 + 1))
    unbiased = covariance / overlap
    return unbiased / unbiased[:, :1, :1]


def _falls_to(profile: NDArray[np.float64], level: float) -> float:
    """Return the first lag, interpolated, at which the profile falls to the level; the last lag if it never does."""
    below = np.flatnonzero(profile < level)
    if not below.size:
        return float(profile.size - 1)
    after = int(below[0])
    return after - float((level - profile[after]) / (profile[after - 1] - profile[after]))


def reduced(pair: AnnotatedFrame, shape: tuple[int, ...]) -> tuple[Frame, Mask]:
    """Return frame and mask at `shape`, reduced as in a reduced set: resized by area and passed through JPEG."""
    if pair.frame.shape[0] <= shape[0]:
        return pair.frame, pair.mask
    size = shape[::-1]
    covered = cv2.resize(np.multiply(pair.mask, 255, dtype=np.uint8), size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(pair.frame, size, interpolation=cv2.INTER_AREA)
    _, code = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), covered > 127


def spread_pairs(folder: Path, per_subject: int, *, only_nerves: bool) -> list[AnnotatedFrame]:
    """Return up to `per_subject` pairs of each subject, evenly spaced; all pairs of a set with few subjects."""
    chosen: list[Source] = []
    sources = recognise(folder).sources
    if only_nerves:
        sources = [source for source in sources if _shows_nerve(source)]
    subjects = sorted({_subject(source.name) for source in sources}, key=natural_key)
    for subject in subjects:
        own = [source for source in sources if _subject(source.name) == subject]
        if len(subjects) < FEW_SUBJECTS:
            chosen += own
            continue
        chosen += [own[k] for k in np.unique(np.linspace(0, len(own) - 1, per_subject).round().astype(int))]
    reading = Reading(folder, (), b"")
    return [item for source in chosen for item in load(source, reading) if isinstance(item, AnnotatedFrame)]


def measure(pairs: list[AnnotatedFrame], shape: tuple[int, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return measures and grey-level histograms of each subject; of each frame if there are few subjects."""
    prepared = [reduced(pair, shape) for pair in pairs]
    subjects = [_subject(pair.name) for pair in pairs]
    groups = np.arange(len(pairs)) if len(set(subjects)) < FEW_SUBJECTS else np.array(subjects)
    measures = pd.DataFrame([measure_frame(frame, mask) for frame, mask in prepared]).groupby(groups).median()
    counts = pd.DataFrame([np.bincount(frame.ravel(), minlength=256) for frame, _ in prepared]).groupby(groups).sum()
    return measures, counts.div(counts.sum(axis=1), axis=0)


def histogram_distances(shares: pd.DataFrame, real: pd.DataFrame) -> list[float]:
    """Return the Wasserstein distance of each row to the pooled other real rows."""
    others = [real.drop(index=name).mean() if shares is real else real.mean() for name in shares.index]
    pairs = zip(shares.to_numpy(), others, strict=True)
    return [float(stats.wasserstein_distance(GREYS, GREYS, row, other)) for row, other in pairs]


def prevalence(folder: Path) -> float:
    return 100.0 * float(np.mean([_shows_nerve(source) for source in recognise(folder).sources]))


def _shows_nerve(source: Source) -> bool:
    return any(found.mask.any() for path in source.masks for found in read_masks(path, ()))


def _subject(name: str) -> str:
    return name.split("_", maxsplit=1)[0]


def compare(phantom: Path, real: Path, per_subject: int) -> pd.DataFrame:
    """Return one row per measure."""
    found = prevalence(real)
    real_pairs = spread_pairs(real, per_subject, only_nerves=found == 100.0)
    shape = real_pairs[0].frame.shape
    real_measures, real_shares = measure(real_pairs, shape)
    ours, our_shares = measure(spread_pairs(phantom, per_subject, only_nerves=found == 100.0), shape)
    real_measures["grey distance"] = histogram_distances(real_shares, real_shares)
    ours["grey distance"] = histogram_distances(our_shares, real_shares)
    ends = {"5 %": 0.05, "median": 0.5, "95 %": 0.95}
    table = pd.DataFrame({("phantom", name): ours.quantile(share) for name, share in ends.items()})
    for name, share in ends.items():
        table["real", name] = real_measures.quantile(share)
    low, high = table["real", "5 %"], table["real", "95 %"]
    table["inside", "median"] = table["phantom", "median"].between(low, high)
    table["inside", "% of subjects"] = 100.0 * (ours.ge(low) & ours.le(high)).mean()
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare phantom and real frames in numbers.")
    parser.add_argument("phantom", type=Path)
    parser.add_argument("real", type=Path, nargs="+")
    parser.add_argument("--csv", type=Path, help="also write all tables to this file")
    parser.add_argument("--per-subject", type=int, default=10, help="frames per subject")
    arguments = parser.parse_args()
    tables = {real.name: compare(arguments.phantom, real, arguments.per_subject) for real in arguments.real}
    with pd.option_context("display.width", 200, "display.max_rows", None, "display.float_format", "{:.3g}".format):
        for name, table in tables.items():
            print(f"{name}:\n{table.to_string()}")
            print(f"{int(table['inside', 'median'].sum())} of {len(table)} medians inside of the spread of {name}\n")
    shares = [f"{folder.name} {prevalence(folder):.1f} %" for folder in (arguments.phantom, *arguments.real)]
    print("prevalence: " + ", ".join(shares))
    if arguments.csv:
        together = pd.concat(tables, names=["real set", "measure"])
        together.set_axis([" ".join(column) for column in together.columns], axis=1).to_csv(arguments.csv)


if __name__ == "__main__":
    with told_plainly():
        main()
