"""Train, val and test by subject: neighbouring frames of a subject are nearly equal, so a subject is in one part.

Without explicit lists, subjects are ordered by prevalence (the share of their frames that show the nerve) and a
part is a systematic sample of that order, so that each part spans the range from rare to frequent. With folds the
test subjects are every `folds`-th of that order, from `fold` on: each subject is tested in exactly one fold.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from nerveseg.data.dataset import natural_key
from nerveseg.errors import DatasetError
from nerveseg.params import SplitParams

SPLITS = ("train", "val", "test")


def split_subjects(prevalence: Mapping[str, float], params: SplitParams, seed: int) -> dict[str, str]:
    """Assign each subject to a split.

    Args:
        prevalence: of each subject, 0..1.
        params: fractions of the subjects, or explicit lists, which win over the fractions.
        seed: of the order among subjects of equal prevalence and of the samples' offsets.

    Returns:
        subject -> "train", "val" or "test".

    Raises:
        DatasetError: a listed subject does not exist, or a split would stay empty.
    """
    for key in ("val_subjects", "test_subjects"):
        if unknown := [subject for subject in getattr(params, key) if subject not in prevalence]:
            known = ", ".join(sorted(prevalence, key=natural_key))
            raise DatasetError(f"split.{key} names {', '.join(unknown)}; the data set's subjects are {known}")
    rng = np.random.default_rng([seed, 0x5917])
    subjects = sorted(prevalence, key=natural_key)
    order = [subjects[i] for i in rng.permutation(len(subjects))]
    order.sort(key=lambda subject: prevalence[subject])
    test = list(params.test_subjects)
    val = list(params.val_subjects)
    if params.folds:
        if params.folds > len(order):
            raise DatasetError(f"split.folds is {params.folds}, but there are {len(order)} subjects; use fewer folds")
        test = [subject for subject in order[params.fold :: params.folds] if subject not in val]
    elif not test:
        free = _without(order, val)
        test = _systematic(free, min(_count(params.test_fraction, order), len(free) - (1 if val else 2)), rng)
    if not val:
        free = _without(order, test)
        val = _systematic(free, min(_count(params.val_fraction, order), len(free) - 1), rng)
    train = _without(order, [*val, *test])
    parts = dict(zip(SPLITS, (train, val, test), strict=True))
    if empty := [split for split, members in parts.items() if not members]:
        raise DatasetError(
            f"{len(subjects)} subjects ({', '.join(subjects)}) leave no subject for {' and '.join(empty)}; at least 3 "
            "are needed, one each for train, val and test: add subjects, or change the split section of params.yaml"
        )
    split_of = {subject: split for split, members in parts.items() for subject in members}
    assert len(split_of) == len(train) + len(val) + len(test) == len(subjects), "a subject stands in two splits"  # noqa: S101 - the promise of this module
    return split_of


def _count(fraction: float, subjects: Sequence[str]) -> int:
    return max(1, round(fraction * len(subjects)))


def _without(subjects: Sequence[str], taken: Sequence[str]) -> list[str]:
    return [subject for subject in subjects if subject not in taken]


def _systematic(subjects: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """`count` subjects at equal steps through the order, from a random offset."""
    if count < 1:
        return []
    step = len(subjects) / count
    positions = (rng.uniform(0, 1) + np.arange(count)) * step
    return [subjects[int(position)] for position in np.unique(positions.astype(int)) if position < len(subjects)]
