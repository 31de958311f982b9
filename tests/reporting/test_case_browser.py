"""What the report's browser of cases is given: outlines that are the masks', pictures that fit, and outcomes by rule."""

import base64
import re
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from drawn_frames import simulated_frame
from nerveseg.measures.overlap import count
from nerveseg.reporting.case_browser import RUNGS, Gallery, Rung, fitting_rung, svg_path
from nerveseg.reporting.case_selection import KINDS, chosen, outcome
from viewer_cases import as_case, scores


def filled(path, shape):
    """The mask that a browser would fill by the rule `evenodd`, looked at in the middle of each pixel."""
    inside = np.zeros((2 * shape[0], 2 * shape[1]), np.uint8)
    for part in re.findall(r"M([^z]+)z", path):
        start, _, steps = part.partition("l")
        corners = np.cumsum(np.array([*start.split(), *steps.split()], int).reshape(-1, 2), axis=0)
        one = np.zeros_like(inside)
        cv2.fillPoly(one, [corners.astype(np.int32)], 1)
        inside ^= one
    return inside.reshape(shape[0], 2, shape[1], 2).mean((1, 3)) >= 0.5


def test_the_outline_of_a_nerve_encloses_its_mask():
    for seed in range(12):
        _, mask = simulated_frame((96, 128), nerve=True, seed=seed)
        assert count(mask, filled(svg_path(mask), mask.shape)).dice > 0.985


def test_a_hole_and_a_second_region_are_outlined_as_well():
    mask = np.zeros((60, 80), bool)
    mask[10:50, 10:50] = True
    mask[20:40, 20:40] = False
    mask[5:15, 60:75] = True
    path = svg_path(mask)
    assert path.count("M") == 3
    assert count(mask, filled(path, mask.shape)).dice > 0.96


@given(arrays(bool, (9, 12)))
def test_any_mask_has_a_path_that_a_browser_can_read(mask):
    assert re.fullmatch(r"(M-?\d+ -?\d+(l(-?\d+ -?\d+ ?)+)?z)*", svg_path(mask))
    assert bool(svg_path(mask)) == mask.any()


def test_of_a_case_the_page_gets_its_scores_its_outlines_and_its_pictures():
    frame, truth = simulated_frame((96, 128), nerve=True, seed=1)
    empty = np.zeros_like(truth)
    cases = [as_case("3_1", frame, truth, {"unet": np.roll(truth, 6, 1), "exported": empty})]
    gallery = Gallery(scores(cases), Rung(1, 80))
    assert list(gallery.passing(cases)) == cases
    document = gallery.document()
    (found,) = document["cases"]
    assert document["models"]["exported"]["label"] == "Shipped"
    assert (found["name"], found["subject"], found["nerve"], found["size"]) == ("3_1", "3", True, [96, 128])
    assert found["area"] == truth.sum()
    unet, gan = found["models"]["unet"], found["models"]["exported"]
    assert unet["dice"] == pytest.approx(cases[0].dice["unet"], abs=1e-4)
    assert (gan["kind"], gan["dice"], gan["hd95"], gan["outline"], gan["heat"]) == ("missed", 0, None, "", "")
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(found["frame"]), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert np.abs(decoded.astype(int) - frame).mean() < 6
    heat = cv2.imdecode(np.frombuffer(base64.b64decode(unet["heat"]), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert heat.shape == (24, 32)
    assert np.corrcoef(heat.ravel(), cv2.resize(cases[0].probabilities["unet"], (32, 24)).ravel())[0, 1] > 0.99


def test_an_outline_that_a_cut_off_removed_is_no_miss():
    frame, truth = simulated_frame((96, 128), nerve=True, seed=1)
    case = as_case("3_1", frame, truth, {"unet": truth, "exported": np.zeros_like(truth)})
    gallery = Gallery(scores([case]), Rung(1, 80))
    list(gallery.passing([replace(case, withheld=frozenset({"exported"}))]))
    assert gallery.document()["cases"][0]["models"]["exported"]["kind"] == "withheld"


def test_frames_are_as_good_as_there_is_room_for():
    frames = [simulated_frame((210, 290), nerve=False, seed=seed)[0] for seed in range(20)]
    assert fitting_rung(frames, 10**9) == RUNGS[0]
    assert fitting_rung(frames, 1) == RUNGS[-1]
    sizes = []
    for room in (400_000, 200_000, 100_000):
        rung = fitting_rung(frames, room)
        cases = [
            as_case(f"1_{n}", frame, frame > 255, {"unet": frame > 255, "exported": frame > 255})
            for n, frame in enumerate(frames)
        ]
        gallery = Gallery(scores(cases), rung)
        list(gallery.passing(cases))
        sizes.append(sum(len(case["frame"]) for case in gallery.document()["cases"]))
        assert sizes[-1] < 1.05 * room
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize(
    ("has_nerve", "area", "dice", "kind"),
    [
        (True, 0, 0.0, "missed"),
        (False, 9, 0.0, "false alarm"),
        (True, 9, 0.0, "apart"),
        (True, 9, 0.69, "poor"),
        (True, 9, 0.7, "good"),
        (False, 0, 1.0, "no nerve"),
    ],
)
def test_every_outcome_has_its_name(has_nerve, area, dice, kind):
    assert outcome(has_nerve, area, dice) == kind
    assert kind in KINDS


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 12))
def test_the_best_median_and_worst_frames_are_chosen_by_dice_and_none_twice(dice, count_):
    table = pd.DataFrame(
        {"frame": [f"1_{n}" for n in range(len(dice))], "model": "exported", "has_nerve": True, "dice": dice}
    )
    found = chosen(table, count_)
    by_name = dict(zip(table["frame"], dice, strict=True))
    shown = [by_name[name] for name in found]
    assert shown == sorted(shown)
    assert shown[-1] == max(dice)
    parts = list(found.values())
    assert parts == sorted(parts, key=["worst", "median", "best"].index)
    assert len(found) <= max(3, count_)
    if len(dice) >= 3 and count_ >= 3:
        assert shown[0] == min(dice)
        assert parts.count("best") == min(count_, len(dice)) // 3


def test_frames_without_a_nerve_and_other_models_are_not_chosen():
    table = pd.DataFrame(
        {
            "frame": ["1_1", "1_2", "1_3"],
            "model": ["exported", "exported", "unet"],
            "has_nerve": [True, False, True],
            "dice": 1.0,
        }
    )
    assert chosen(table, 6) == {"1_1": "best"}
