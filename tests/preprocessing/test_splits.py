import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerveseg.errors import DatasetError
from nerveseg.params.data import SplitParams
from nerveseg.preprocessing.splits import SPLITS, split_subjects


def params(val=0.15, test=0.25, val_subjects=(), test_subjects=(), folds=0, fold=0):
    return SplitParams(
        val_fraction=val,
        test_fraction=test,
        val_subjects=val_subjects,
        test_subjects=test_subjects,
        folds=folds,
        fold=fold,
    )


def parts_of(split_of):
    return {split: {subject for subject, found in split_of.items() if found == split} for split in SPLITS}


@given(st.integers(3, 60), st.integers(0, 2**31 - 1), st.floats(0.05, 0.45), st.floats(0.05, 0.45))
def test_every_subject_is_in_exactly_one_split_and_no_split_is_empty(count, seed, val, test):
    prevalence = {str(subject): (subject * 7 % 10) / 10 for subject in range(1, count + 1)}
    parts = parts_of(split_subjects(prevalence, params(val, test), seed))
    assert set.union(*parts.values()) == set(prevalence)
    assert sum(len(members) for members in parts.values()) == count
    assert all(parts.values())


@given(st.integers(0, 1000))
def test_parts_span_the_range_of_prevalence(seed):
    prevalence = {str(subject): subject / 40 for subject in range(40)}
    parts = parts_of(split_subjects(prevalence, params(0.2, 0.2), seed))
    assert {split: len(members) for split, members in parts.items()} == {"train": 24, "val": 8, "test": 8}
    for members in parts.values():
        assert np.mean([prevalence[subject] for subject in members]) == pytest.approx(0.4875, abs=0.08)


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    prevalence = {str(subject): 0.4 for subject in range(30)}
    first = split_subjects(prevalence, params(), 1)
    assert first == split_subjects(prevalence, params(), 1)
    assert first != split_subjects(prevalence, params(), 2)


def test_named_subjects_are_taken_and_the_rest_is_split_by_fraction():
    prevalence = {str(subject): 1.0 for subject in range(1, 38)}
    named = tuple(str(subject) for subject in range(31, 38))
    parts = parts_of(split_subjects(prevalence, params(test_subjects=named), 0))
    assert parts["test"] == set(named)
    assert len(parts["val"]) == 6


def test_a_named_subject_that_does_not_exist_is_told_with_those_that_do():
    with pytest.raises(DatasetError, match=r"split\.test_subjects names 9; the data have subjects 1, 2, 10"):
        split_subjects({"1": 0.5, "10": 0.5, "2": 0.5}, params(test_subjects=("9",)), 0)


def test_two_subjects_are_too_few_and_the_error_says_so():
    with pytest.raises(
        DatasetError, match=r"2 subjects \(1, 2\) leave no subject for test.*at least 3 without a frame in common"
    ):
        split_subjects({"1": 0.5, "2": 0.5}, params(), 0)


def test_naming_every_subject_for_val_and_test_leaves_none_to_train_on():
    with pytest.raises(DatasetError, match="no subject for train"):
        split_subjects({"1": 1.0, "2": 1.0}, params(val_subjects=("1",), test_subjects=("2",)), 0)


def test_each_subject_is_tested_in_exactly_one_fold():
    prevalence = {str(subject): subject / 37 for subject in range(1, 38)}
    tested = [parts_of(split_subjects(prevalence, params(folds=5, fold=fold), 3))["test"] for fold in range(5)]
    assert sum(map(len, tested)) == 37
    assert set.union(*tested) == set(prevalence)


def test_with_named_test_subjects_the_folds_deal_out_val_and_none_learns_from_a_test_subject():
    prevalence = {str(subject): subject / 37 for subject in range(1, 38)}
    named = ("31", "36")
    parts = [
        parts_of(split_subjects(prevalence, params(test_subjects=named, folds=5, fold=fold), 3)) for fold in range(5)
    ]
    assert all(part["test"] == set(named) for part in parts)
    assert sum(len(part["val"]) for part in parts) == 35
    assert set.union(*(part["val"] for part in parts)) == set(prevalence) - set(named)


def test_more_folds_than_subjects_are_refused():
    with pytest.raises(DatasetError, match=r"split\.folds is 9, but only 4 subjects"):
        split_subjects({str(subject): 0.5 for subject in range(4)}, params(folds=9), 0)


@given(st.integers(0, 500), st.integers(2, 6))
def test_linked_subjects_are_never_parted(seed, length):
    prevalence = {str(subject): subject / 20 for subject in range(20)}
    chain = [(str(subject), str(subject + 1)) for subject in range(length)]
    split_of = split_subjects(prevalence, params(), seed, chain)
    assert len({split_of[str(subject)] for subject in range(length + 1)}) == 1
    assert set(split_of.values()) == set(SPLITS)


def test_named_subjects_are_taken_whatever_they_are_linked_with():
    prevalence = {str(subject): 0.5 for subject in range(9)}
    split_of = split_subjects(prevalence, params(test_subjects=("3",)), 0, [("3", "4")])
    assert [subject for subject, split in split_of.items() if split == "test"] == ["3"]


def test_subjects_that_are_all_linked_cannot_be_split():
    with pytest.raises(DatasetError, match="without a frame in common"):
        split_subjects({"1": 0.5, "2": 0.5, "3": 0.5}, params(), 0, [("1", "2"), ("2", "3")])
