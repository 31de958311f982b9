"""The bench that compares phantom and real frames: its measures move as they should, and it runs on small sets."""

import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from nerveseg.params.data import PhantomParams
from nerveseg.phantom.simulation import Subject, write_phantom
from paths import ROOT

pytestmark = pytest.mark.slow

BENCH = ROOT / "bench"
PARAMS = PhantomParams(subjects=3, frames_per_subject=4, width=290, height=210, nerve_fraction=0.42)


@pytest.fixture
def realism(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    monkeypatch.delitem(sys.modules, "phantom_realism", raising=False)
    import phantom_realism

    return phantom_realism


@pytest.fixture(scope="module")
def frame():
    return Subject(7, 1, PARAMS).frame(1)[0]


def test_a_blur_lengthens_speckle_lowers_its_contrast_and_steepens_the_spectrum(realism, frame):
    blurred = cv2.GaussianBlur(frame, (0, 0), 1.5)
    before, after = realism.measure_frame(frame, frame < 0), realism.measure_frame(blurred, frame < 0)
    for axis in ("axial", "lateral"):
        assert after[f"speckle length {axis}"] > before[f"speckle length {axis}"]
        assert after[f"slope {axis}"] < before[f"slope {axis}"]
        assert after[f"energy {axis} 40-90 %"] < before[f"energy {axis} 40-90 %"]
    assert after["speckle contrast"] < before["speckle contrast"]


def test_the_nerves_measures_are_those_of_the_ellipse_that_was_drawn(realism):
    mask, image = np.zeros((210, 290), np.uint8), np.full((210, 290), 60, np.uint8)
    cv2.ellipse(mask, (170, 80), (40, 20), -60.0, 0.0, 360.0, 1, -1)
    image[mask > 0] = 120
    found = realism.nerve_measures(image, mask > 0)
    expected = {"nerve aspect": 2.0, "nerve orientation": 60.0, "nerve contrast": 2.0, "nerve lateral %": 58.6}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=0.03), name


def test_it_compares_a_phantom_with_a_smaller_set_that_only_shows_nerves(realism, tmp_path, monkeypatch, capsys):
    write_phantom(tmp_path / "phantom", PARAMS, 7, workers=1)
    (tmp_path / "real").mkdir()
    for path in sorted((tmp_path / "phantom").glob("*_mask.tif")):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if mask.any():
            image = cv2.imread(str(path).replace("_mask", ""), cv2.IMREAD_UNCHANGED)
            for suffix, pixels in (("", image), ("_mask", mask)):
                small = cv2.resize(pixels, (145, 105), interpolation=cv2.INTER_AREA)
                small = np.uint8(255) * (small > 127) if suffix else small
                cv2.imwrite(str(tmp_path / "real" / path.name.replace("_mask", suffix)), small)
    table = tmp_path / "table.csv"
    arguments = ["phantom_realism.py", str(tmp_path / "phantom"), str(tmp_path / "real"), "--csv", str(table)]
    monkeypatch.setattr(sys, "argv", arguments)
    realism.main()
    assert "prevalence: phantom 25.0 %, real 100.0 %" in capsys.readouterr().out
    rows = pd.read_csv(table, index_col="measure")
    assert {"nerve area %", "speckle contrast", "grey distance"} <= set(rows.index)
    inside = rows.loc[["nerve area %", "nerve depth %", "grey 50 %", "speckle contrast"], "inside median"]
    assert inside.all()
