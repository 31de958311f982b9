"""Whether a model has learnt from the frames that it is scored on, by keys that name nobody.

A key begins with a digest of a frame's grey levels and size, which is the same in any file format, under any name and with any
mask. One such frame shows that the model knows the subject. The rest of the key is how the frame looks
(`nerveseg.preprocessing.sketches`): copies that were compressed, resized or brightened look alike, and are reported.
"""

from collections.abc import Collection, Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.errors import ModelError
from nerveseg.text.foreign_text import on_one_line
from nerveseg.text.wording import some

_LENGTH = 16  # hexadecimal digits, 64 bits: with the look, 5,635 frames take 470 kB in a model's folder
# Bits of 256 in which a copy may differ. Compressed, resized and brightened copies differed in 16 at most, frames of different
# simulated subjects in 93 at least. Frames of different real subjects that differed in 20 or fewer had sketches that correlate by 0.99.
ALIKE = 18
# The same as a share of the bits in which two frames of the data differ on average. Those are 120 of 256 where frames show nothing
# but ultrasound, and 10 to 26 where 75 to 90 % of them is one machine's interface: few people's frames are as close there by chance.
APART = 0.25
_SHOWN = 10  # subjects in a message


def learnt_frames(manifest: pd.DataFrame) -> frozenset[str]:
    """Return the keys of the frames that a training learns from or chooses by: those of train and val."""
    learnt = manifest[manifest["split"].isin(["train", "val"])]
    return frozenset(learnt["pixels"].str[:_LENGTH] + learnt["look"])


def check_unseen(learnt: Collection[str], manifest: pd.DataFrame, name: object) -> str:
    """Return a remark if test frames look like some that a model has learnt from, else ''. Equal ones raise `ModelError`.

    `learnt` are the keys of those frames. `manifest` describes the frames to score the model on (`preprocessing.audit`).
    """
    test = manifest[manifest["split"] == "test"]
    if len(seen := test[test["pixels"].str[:_LENGTH].isin({key[:_LENGTH] for key in learnt})]):
        subjects = list(dict.fromkeys(seen["subject"]))
        raise ModelError(
            f"{name} has learnt from {len(seen):,} of the {len(test):,} test frames, and so from {len(subjects):,} of the test "
            f"subjects ({some(subjects, _SHOWN)}): scores on them would mean nothing; train it with these subjects "
            "in split.test_subjects, or test on others"
        )
    ours, theirs = (2 * bits_of(one) - 1 for one in (test["look"], [key[_LENGTH:] for key in learnt]))
    usual = (1 - np.concatenate([ours, theirs]).mean(axis=0) ** 2).sum() / 2
    bound = 256 - 2 * min(ALIKE, APART * usual)
    alike = test[[(theirs @ one).max(initial=-np.inf) >= bound for one in ours]]
    if alike.empty:
        return ""
    shown = on_one_line(some(list(alike["frame"]), 3))
    return (
        f"{len(alike):,} of the {len(test):,} test frames ({shown}) look like frames that {name} has learnt from, as compressed or "
        "resized copies do, or screens that show little but the same interface: if they are copies, scores on them mean little"
    )


def bits_of(looks: Iterable[str]) -> NDArray[np.float32]:
    """Return the 256 bits of each look as a row of zeros and ones."""
    packed = np.frombuffer(bytes.fromhex("".join(looks)), np.uint8)
    return np.unpackbits(packed).reshape(-1, 256).astype(np.float32)
