"""Train, val and test by subject: neighbouring frames of a subject are nearly equal, so a subject is in one part.

Without explicit lists, subjects are ordered by prevalence (the share of their frames that show the nerve), and a part is a
systematic sample of that order. Each part thus spans the range from rare to frequent.

With folds, the test subjects are every `folds`-th of that order, from `fold` on. Each subject is tested in exactly one fold,
except those in `val_subjects`, which are val in all. If the test subjects are named as well, they are test in all folds,
and every `folds`-th of the others is val. No fold then learns from a test subject, so an ensemble of them can be tested.

Subjects that share a frame (a copy under two names) stay together.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.cluster.hierarchy import DisjointSet

from nerveseg.errors import DatasetError
from nerveseg.params.data import SplitParams
from nerveseg.preprocessing.layouts import natural_key
from nerveseg.text.wording import counted, some

SPLITS = ("train", "val", "test")
LEAST_SUBJECTS = len(SPLITS)
Group = tuple[str, ...]  # subjects that must not be parted


def split_subjects(
    prevalence: Mapping[str, float], params: SplitParams, seed: int, linked: Iterable[tuple[str, str]] = ()
) -> dict[str, str]:
    """Assign each subject to "train", "val" or "test".

    `prevalence` is that of each subject, 0..1, in the order of the data set. Explicit lists in `params` win over its fractions
    and over `linked`, pairs of subjects that share a frame. `seed` decides the order of subjects of equal prevalence, and the
    samples' offsets. `DatasetError` is raised if a listed subject does not exist, or a split would stay empty.
    """
    for key in ("val_subjects", "test_subjects"):
        if unknown := [subject for subject in getattr(params, key) if subject not in prevalence]:
            raise DatasetError(f"split.{key} names {', '.join(unknown)}; the data have subjects {_shown(prevalence)}")
    rng = np.random.default_rng([seed, 0x5917])
    subjects = list(prevalence)
    named = {*params.val_subjects, *params.test_subjects}
    groups = _groups(subjects, [pair for pair in linked if named.isdisjoint(pair)])
    order = [groups[i] for i in rng.permutation(len(groups))]
    order.sort(key=lambda group: float(np.mean([prevalence[subject] for subject in group])))
    test = [group for group in order if set(group) <= set(params.test_subjects)]
    val = [group for group in order if set(group) <= set(params.val_subjects)]
    if params.folds:
        dealt = _without(order, test)
        if params.folds > len(dealt):
            raise DatasetError(
                f"split.folds is {params.folds}, but only {len(dealt)} subjects (or groups that share a frame) are left; use fewer"
            )
        drawn = dealt[params.fold :: params.folds]
        if test:
            val = drawn
        else:
            test = _without(drawn, val)
    elif not test:
        free = _without(order, val)
        test = _systematic(free, params.test_fraction * len(order), len(free) - (1 if val else 2), rng)
    if not val:
        free = _without(order, test)
        val = _systematic(free, params.val_fraction * len(order), len(free) - 1, rng)
    train = _without(order, [*val, *test])
    parts = dict(zip(SPLITS, (train, val, test), strict=True))
    if empty := [split for split, members in parts.items() if not members]:
        leave = "leaves" if len(subjects) == 1 else "leave"
        raise DatasetError(
            f"{counted(len(subjects), 'subject')} ({_shown(subjects)}) {leave} no subject for {' and '.join(empty)}; at least "
            f"{LEAST_SUBJECTS} without a frame in common are needed, one each for train, val and test: add subjects, or "
            "change the split section of params.yaml"
        )
    split_of = {subject: split for split, members in parts.items() for group in members for subject in group}
    dealt_out = sum(len(group) for members in parts.values() for group in members)
    assert len(split_of) == dealt_out == len(subjects), "a subject stands in two splits"  # noqa: S101 - this module's promise
    return split_of


def _shown(subjects: Iterable[str]) -> str:
    names: list[str] = sorted(subjects, key=natural_key)
    return some(names, 50)


def _groups(subjects: Sequence[str], linked: Iterable[tuple[str, str]]) -> list[Group]:
    """Group subjects that are linked, directly or through others, in the order of their first members."""
    sets = DisjointSet(subjects)
    for one, other in linked:
        sets.merge(one, other)
    members: dict[str, list[str]] = {}
    for subject in subjects:
        members.setdefault(sets[subject], []).append(subject)
    return [tuple(group) for group in members.values()]


def _without(groups: Sequence[Group], taken: Sequence[Group]) -> list[Group]:
    return [group for group in groups if group not in taken]


def _systematic(groups: Sequence[Group], wanted: float, most: int, rng: np.random.Generator) -> list[Group]:
    """Take about `wanted` groups, at least one if `most` allows, at equal steps from a random offset."""
    if (count := min(max(1, round(wanted)), most)) < 1:
        return []
    step = len(groups) / count
    positions = (rng.uniform(0, 1) + np.arange(count)) * step
    return [groups[int(position)] for position in np.unique(positions.astype(int)) if position < len(groups)]
