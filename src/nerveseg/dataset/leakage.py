"""Whether a model has seen the frames that it is scored on, told by digests of their pixels, which name nobody.

A key begins with a digest of one frame's grey levels and size: it is the same in any file format, under any name and whatever
was annotated on it. One frame that a model has learnt from is enough to tell that it knows the subject. Behind it stands how
the frame looks (`nerveseg.preprocessing.sketches`), by which a copy that was compressed, resized or brightened is suspected, and told.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.errors import ModelError
from nerveseg.text.foreign_text import on_one_line
from nerveseg.text.wording import some

_LENGTH = 16  # hexadecimal digits, 64 bits: with the look, 5,635 frames take 470 kB in a model's folder
# Bits of 256 that a copy may differ in. Compressed, resized and brightened copies did by 16 at most, frames of different simulated
# subjects by 93 at least; real ones of different subjects that did by 20 or fewer had sketches that correlate by 0.99.
_ALIKE = 18
_SHOWN = 10  # subjects in a message


def learnt_frames(manifest: pd.DataFrame) -> frozenset[str]:
    """The keys of the frames that a training learns from, or chooses by: those of train and val."""
    return frozenset(_keys(manifest[manifest["split"].isin(["train", "val"])]))


def check_unseen(learnt: Collection[str], manifest: pd.DataFrame, name: object) -> str:
    """Make sure that scores on the test frames mean something.

    Args:
        learnt: keys of the frames that a model has learnt from.
        manifest: of the data that it is scored on: `subject`, `frame`, `split`, `pixels` and `look`.
        name: of the model.

    Returns:
        A remark where test frames look like some that it has learnt from; else ''.

    Raises:
        ModelError: some are in both.
    """
    test = manifest[manifest["split"] == "test"]
    if len(seen := test[test["pixels"].str[:_LENGTH].isin({key[:_LENGTH] for key in learnt})]):
        subjects = list(dict.fromkeys(seen["subject"]))
        more = f" and {len(subjects) - _SHOWN:,} more" if len(subjects) > _SHOWN else ""
        raise ModelError(
            f"{name} has learnt from {len(seen):,} of the {len(test):,} test frames, and so from {len(subjects):,} of the test "
            f"subjects ({', '.join(subjects[:_SHOWN])}{more}): scores on them would mean nothing; train it with these subjects "
            "in split.test_subjects, or test on others"
        )
    alike = test[_like(list(test["look"]), [key[_LENGTH:] for key in learnt if key[_LENGTH:]])]
    if alike.empty:
        return ""
    return (
        f"{len(alike):,} of the {len(test):,} test frames ({on_one_line(some(list(alike['frame']), 3))}) look like frames that {name} has learnt from, as "
        "copies do that were compressed or resized: if they are, scores on them mean little"
    )


def _keys(manifest: pd.DataFrame) -> "pd.Series[str]":
    return manifest["pixels"].str[:_LENGTH] + manifest["look"]


def _like(looks: list[str], others: list[str]) -> NDArray[np.bool_]:
    """Which looks differ from one of the others in few bits."""
    ours, theirs = (2.0 * _bits(one) - 1.0 for one in (looks, others))
    return np.array([(theirs @ one).max(initial=-np.inf) >= 256 - 2 * _ALIKE for one in ours], np.bool_)


def _bits(looks: list[str]) -> NDArray[np.float32]:
    packed = np.frombuffer(bytes.fromhex("".join(looks)), np.uint8)
    return np.unpackbits(packed).reshape(-1, 256).astype(np.float32)
