"""Whether a model has seen the subjects that it is scored on, told by digests of their frames, which name nobody."""

import hashlib
from collections.abc import Collection, Mapping

import pandas as pd

from nerveseg.errors import ModelError


def subject_keys(manifest: pd.DataFrame) -> dict[str, str]:
    """A digest for each subject of a manifest over those of its frames and masks: it tells the subject again under
    another name and in another folder, but not once frames were added, and names nobody.
    """
    frames = manifest.groupby("subject")["digest"]
    return {str(name): hashlib.sha256("".join(sorted(of)).encode()).hexdigest()[:16] for name, of in frames}


def check_unseen(learnt: Collection[str], test: Mapping[str, str], name: object) -> None:
    """Make sure that scores on test subjects mean something.

    Args:
        learnt: keys of the subjects that a model has learnt from.
        test: the keys of the test subjects, by their names.
        name: of the model.

    Raises:
        ModelError: some are in both.
    """
    if seen := [subject for subject, key in test.items() if key in learnt]:
        raise ModelError(
            f"{name} has learnt from {len(seen)} of the test subjects ({', '.join(seen[:10])}), so that scores on them "
            "would mean nothing; train it with these subjects in split.test_subjects, or test on others"
        )
