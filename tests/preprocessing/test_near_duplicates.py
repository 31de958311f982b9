import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerveseg.preprocessing.near_duplicates import ROWS_AT_ONCE, conflicts, duplicates, near_copies
from nerveseg.preprocessing.sketches import look, sketch
from odd_files import picture

SIZE = (96, 128)
FRAME, NERVE = picture(1, SIZE), cv2.circle(np.zeros(SIZE, np.uint8), (60, 40), 12, 255, -1)
NONE, ELSEWHERE = np.zeros(SIZE, np.uint8), np.roll(NERVE, 40, axis=1)


def found(*cases, subjects=None, copies=()):
    names = [str(number) for number in range(len(cases))]
    manifest = pd.DataFrame({"frame": names, "subject": subjects or ["a"] * len(cases)})
    return conflicts(manifest, [sketch(frame, mask) for frame, mask in cases], copies)


def noisy(frame, deviation, seed=0):
    noise = np.random.default_rng(seed).normal(0, deviation, frame.shape)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


def test_near_twins_of_which_one_shows_no_nerve_contradict_each_other():
    table = found((FRAME, NERVE), (noisy(FRAME, 8), NONE), (picture(2, SIZE), NONE))
    (row,) = table.to_dict("records")
    assert (row["subject"], row["frame"], row["other"]) == ("a", "1", "0")
    assert row["reason"] == "a nerve in one of them only"
    assert row["similarity"] > 0.97


def test_near_twins_whose_masks_hardly_overlap_contradict_each_other():
    assert found((FRAME, NERVE), (FRAME, ELSEWHERE))["reason"].tolist() == ["masks that hardly overlap"]


def test_twins_that_agree_do_not_and_neither_do_frames_of_two_subjects():
    assert found((FRAME, NERVE), (noisy(FRAME, 8), np.roll(NERVE, 3, axis=1)), (FRAME, NERVE)).empty
    assert found((FRAME, NONE), (FRAME, NONE)).empty
    assert found((FRAME, NERVE), (FRAME, NONE), subjects=["a", "b"]).empty


def test_copies_contradict_each_other_in_any_subjects_and_once():
    table = found((FRAME, NERVE), (FRAME, NONE), (FRAME, NONE), subjects=["a", "b", "a"], copies=[[0, 1, 2]])
    assert table[["subject", "frame", "other"]].to_numpy().tolist() == [["a", "2", "0"], ["b", "1", "0"]]


def test_a_brighter_copy_is_still_a_twin():
    assert len(found((FRAME, NERVE), (np.clip(FRAME * 0.7 + 20, 0, 255).astype(np.uint8), NONE))) == 1


def test_more_frames_than_are_compared_at_once_are_all_compared():
    cases = [(noisy(FRAME, 2, seed), NONE) for seed in range(ROWS_AT_ONCE + 5)]
    cases[2] = (FRAME, NERVE)
    assert len(found(*cases)) == ROWS_AT_ONCE + 4


def screen(seed, of=1):
    """A screen of machine `of`, of which the scan is a sixth, and dark."""
    shown = picture(100 + of, SIZE).copy()
    shown[40:72, 20:84] = picture(seed, (32, 64)) // 3
    return shown


SCREENS = {
    "a machine": [screen(seed) for seed in range(2, 14)],
    "two machines": [screen(seed, of=seed % 2) for seed in range(2, 14)],
    "a machine, and scans without interface": [
        screen(seed) if seed < 8 else picture(seed, SIZE) for seed in range(2, 14)
    ],
}


def copies_of(frames, subjects):
    rows = [(str(n), subject, look(frame)) for n, (frame, subject) in enumerate(zip(frames, subjects, strict=True))]
    manifest = pd.DataFrame(rows, columns=["frame", "subject", "look"])
    return near_copies(manifest, [sketch(frame, NONE) for frame in frames])


@pytest.mark.parametrize("frames_each", [1, 2])
@pytest.mark.parametrize("screens", SCREENS)
def test_screens_with_one_interface_are_copies_only_if_their_scans_are(screens, frames_each):
    frames = SCREENS[screens]
    subjects = [f"p{n // frames_each}" for n in range(len(frames))]
    assert copies_of(frames, subjects) == []
    assert copies_of([*frames, noisy(frames[4], 2)], [*subjects, "other"]) == [(4, 12)]


def test_screens_whose_scans_differ_do_not_contradict_each_other():
    frames = SCREENS["a machine"]
    cases = [(frame, NERVE if n % 2 else NONE) for n, frame in enumerate(frames)]
    assert found(*cases, subjects=[f"p{n // 4}" for n in range(len(frames))]).empty
    assert len(found(*cases, (noisy(frames[5], 2), NONE), subjects=[f"p{n // 4}" for n in range(12)] + ["p1"])) == 1


@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=30))
def test_duplicates_are_the_groups_of_equal_digests(digests):
    manifest = pd.DataFrame({"pixels": digests})
    groups = duplicates(manifest)
    assert all(len({digests[row] for row in rows}) == 1 and len(rows) > 1 for rows in groups)
    alone = set(range(len(digests))) - {row for rows in groups for row in rows}
    assert all(digests.count(digests[row]) == 1 for row in alone)


def test_a_sketch_is_small_and_of_one_length():
    assert len(sketch(FRAME, NERVE)) == len(sketch(FRAME, NONE)) == 32 * 24 + 64 * 48 // 8
