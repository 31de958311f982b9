"""Whether a model has seen the frames that it is scored on, told by digests of their pixels, which name nobody.

A key is a digest of one frame's grey levels and size: it is the same in any file format, under any name and whatever
was annotated on it. One frame that a model has learnt from is enough to tell that it knows the subject.
"""

from collections.abc import Collection

import pandas as pd

from nerveseg.errors import ModelError

_LENGTH = 16  # hexadecimal digits, 64 bits: 5,635 frames take 100 kB in a model's folder
_SHOWN = 10  # subjects in a message


def learnt_frames(manifest: pd.DataFrame) -> frozenset[str]:
    """The keys of the frames that a training learns from, or chooses by: those of train and val."""
    return frozenset(_keys(manifest[manifest["split"].isin(["train", "val"])]))


def check_unseen(learnt: Collection[str], manifest: pd.DataFrame, name: object) -> None:
    """Make sure that scores on the test frames mean something.

    Args:
        learnt: keys of the frames that a model has learnt from.
        manifest: of the data that it is scored on: `subject`, `split` and `pixels`.
        name: of the model.

    Raises:
        ModelError: some are in both.
    """
    test = manifest[manifest["split"] == "test"]
    if len(seen := test[_keys(test).isin(learnt)]):
        subjects = list(dict.fromkeys(seen["subject"]))
        more = f" and {len(subjects) - _SHOWN:,} more" if len(subjects) > _SHOWN else ""
        raise ModelError(
            f"{name} has learnt from {len(seen):,} of the {len(test):,} test frames, and so from {len(subjects):,} of the test "
            f"subjects ({', '.join(subjects[:_SHOWN])}{more}): scores on them would mean nothing; train it with these subjects "
            "in split.test_subjects, or test on others"
        )


def _keys(manifest: pd.DataFrame) -> "pd.Series[str]":
    return manifest["pixels"].str[:_LENGTH]
