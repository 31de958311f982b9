"""Frames that are equal, or nearly: copies under two names, and labels that contradict each other.

Sketches (`nerveseg.preprocessing.sketches`) are compared by normalised correlation: of the 2016 challenge's frames, pairs above
0.97 show the same plane to the eye. Such near twins contradict each other if only one shows a nerve, or if their masks hardly
overlap. If they also look alike, they are copies of one frame, whatever their subjects.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from nerveseg.dataset.leakage import ALIKE, bits_of
from nerveseg.preprocessing.sketches import BLOCKS

NEAR = 0.97  # correlation of two sketches from which frames show the same plane
# Bits in which looks may differ, as a share of those that are set in either: frames that are mostly black have few. Of 1,857 real
# frames, with and without a black border, only those of two pairs of subjects passed, and these share frames.
ALIKE_SHARE = 1 / 7
# Share of subjects: a grey level that more of them have in a block is that of an interface or border. Without this, frames of
# different people passed where a real scan is 10 to 15 % of a screen; with it none, and all pairs of 1,857 real frames stay.
USUAL = 0.15
LEAST_BLOCKS = 16  # to compare
BARELY = 0.2  # Dice of two masks below which they outline different things
ROWS_AT_ONCE = 512
PRODUCTS_AT_ONCE = 2**22
CONFLICT_COLUMNS = ["subject", "frame", "other", "similarity", "dice", "reason"]


def duplicates(manifest: pd.DataFrame) -> list[list[int]]:
    """Return groups of at least two rows whose frames have equal `pixels`, a digest."""
    groups = manifest.groupby("pixels", sort=False).indices.values()
    return sorted(sorted(int(row) for row in rows) for rows in groups if len(rows) > 1)


def near_copies(manifest: pd.DataFrame, sketches: Sequence[bytes]) -> list[tuple[int, int]]:
    """Return pairs of rows of different subjects whose frames are copies by their look and sketch, the closest first: compressed,
    resized or brightened. What the frames of many subjects show at one place, as a machine's interface, does not make two alike.
    Frames without a known subject, which are subjects of their own, are not compared with each other.
    """
    if manifest.empty:
        return []
    bits, levels = bits_of(list(manifest["look"])), _levels(sketches)
    subjects, ones = pd.factorize(manifest["subject"])[0], bits.sum(axis=1)
    known, rare = (manifest["subject"] != manifest["frame"]).to_numpy(), _rare(levels, subjects)
    pairs: list[tuple[float, int, int]] = []
    at_once = 1 + PRODUCTS_AT_ONCE // len(bits)
    with threadpool_limits(1, user_api="blas"):
        for start in range(0, len(bits), at_once):
            rows, rest = slice(start, start + at_once), slice(start, None)
            both = bits[rows] @ bits[rest].T
            apart = ones[rows, np.newaxis] + ones[rest] - 2 * both
            alike = apart <= np.minimum(ALIKE, ALIKE_SHARE * (apart + both))
            alike &= (subjects[rows, np.newaxis] != subjects[rest]) & (known[rows, np.newaxis] | known[rest])
            candidates = start + np.argwhere(np.triu(alike))
            pairs += [(float(apart[i - start, j - start]), i, j) for i, j in _twins(levels, rare, candidates)]
    return [(one, other) for _, one, other in sorted(pairs)]


def conflicts(manifest: pd.DataFrame, sketches: Sequence[bytes], copies: Sequence[Sequence[int]] = ()) -> pd.DataFrame:
    """Return pairs whose labels contradict each other: near twins of one subject, or copies under any.

    `manifest` has a row for each frame, with `frame` and `subject`; `copies` are groups of rows with equal pixels. The result has
    the columns `CONFLICT_COLUMNS`, in the order of the frames, then of the copies. `subject` is that of `frame`. If one frame of
    a pair has no nerve, it is `frame`.
    """
    rare = _rare(_levels(sketches), pd.factorize(manifest["subject"])[0])
    across = [rows for rows in copies if len(set(manifest["subject"].iloc[list(rows)])) > 1]
    groups = [*manifest.groupby("subject", sort=False).indices.values(), *map(np.asarray, across)]
    with threadpool_limits(1, user_api="blas"):  # products this small take longer to share than to compute
        found = [
            pair
            for rows in groups
            for pair in _within(manifest["frame"].to_numpy()[rows], [sketches[row] for row in rows], rare[rows])
        ]
    subjects = dict(zip(manifest["frame"], manifest["subject"], strict=True))
    table = pd.DataFrame([(subjects[pair[0]], *pair) for pair in found], columns=CONFLICT_COLUMNS)
    return table.drop_duplicates(["frame", "other"], ignore_index=True)


def _within(
    names: NDArray[np.object_], sketches: list[bytes], rare: NDArray[np.bool_]
) -> Iterator[tuple[str, str, float, float, str]]:
    """Yield the columns of each pair but the subject."""
    levels = _levels(sketches)
    means = levels.astype(np.float32)
    means -= means.mean(axis=1, keepdims=True)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-6)  # their products are correlations
    packed = np.frombuffer(b"".join(sketch[levels.shape[1] :] for sketch in sketches), np.uint8)
    masks = np.unpackbits(packed).reshape(len(sketches), -1).astype(np.float32)
    areas = masks.sum(axis=1)
    for start in range(0, len(names), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        similar = means[rows] @ means.T
        overlap = masks[rows] @ masks.T
        totals = areas[rows, np.newaxis] + areas
        dice = np.divide(2 * overlap, totals, out=np.ones_like(overlap), where=totals > 0)
        contrary = np.triu((similar >= NEAR) & (dice < BARELY), start + 1)
        for i, j in _twins(levels, rare, np.add(np.argwhere(contrary), (start, 0))):
            frame, other = (j, i) if areas[j] == 0 else (i, j)
            reason = "a nerve in one of them only" if areas[frame] == 0 else "masks that hardly overlap"
            values = (round(float(table[i - start, j]), 4) for table in (similar, dice))
            yield names[frame], names[other], *values, reason


def _rare(levels: NDArray[np.uint8], subjects: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return for each frame which blocks have a level, within 2, that few subjects' frames have there."""
    counts = np.bincount(subjects)
    weights, usual = 1 / counts[subjects], max(USUAL * len(counts), 1.01)  # more than a subject's own frames
    held = (np.convolve(np.bincount(block, weights, 256), np.ones(5), "same")[block] for block in levels.T)
    return np.stack([subjects_with <= usual for subjects_with in held], axis=1)


def _twins(levels: NDArray[np.uint8], rare: NDArray[np.bool_], pairs: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Yield those pairs of rows that correlate by `NEAR`, as a whole and in the blocks that are rare in both."""
    for i, j in (some.T for some in np.array_split(pairs, 1 + len(pairs) // ROWS_AT_ONCE)):
        seen = rare[i] & rare[j]
        for more in (rare[i] | rare[j], np.True_):  # a frame with copies under many names has no rare blocks
            seen = np.where(seen.sum(axis=1, keepdims=True) < LEAST_BLOCKS, more, seen)
        near = np.ones(len(i), bool)
        for where in (np.ones_like(seen), seen):
            one, other = (
                x - x.mean(axis=1, where=where, keepdims=True, dtype=np.float32) for x in (levels[i], levels[j])
            )
            products = [np.einsum("ij,ij,ij->i", x, y, where) for x, y in ((one, other), (one, one), (other, other))]
            near &= products[0] > NEAR * np.sqrt(products[1] * products[2])
        yield from zip(i[near].tolist(), j[near].tolist(), strict=True)


def _levels(sketches: Sequence[bytes]) -> NDArray[np.uint8]:
    """Return the frames' means over blocks, a row for each frame."""
    count = BLOCKS[0] * BLOCKS[1]
    return np.frombuffer(b"".join(sketch[:count] for sketch in sketches), np.uint8).reshape(-1, count)
