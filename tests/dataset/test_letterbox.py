import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerveseg.dataset.letterbox import Letterbox

sides = st.integers(8, 200)


@given(height=sides, width=sides)
def test_a_letterbox_keeps_the_aspect_ratio_and_fills_the_target(height, width):
    box = Letterbox.fit((height, width), (96, 128))
    assert box.frame(np.zeros((height, width), np.uint8)).shape == (96, 128)
    assert box.scaled[0] == 96 or box.scaled[1] == 128
    scale = min(96 / height, 128 / width)
    assert abs(box.scaled[0] - height * scale) <= 0.5 or box.scaled[0] == 1
    assert abs(box.scaled[1] - width * scale) <= 0.5 or box.scaled[1] == 1


@given(height=st.integers(60, 400), width=st.integers(60, 600))
def test_a_disc_survives_the_way_there_and_back(height, width):
    mask = np.zeros((height, width), np.uint8)
    cv2.circle(mask, (width // 2, height // 2), min(height, width) // 4, 1, -1)
    box = Letterbox.fit((height, width), (96, 128))
    back = box.restore(box.mask(mask > 0).astype(np.float32) / 255) > 0.5
    assert back.shape == mask.shape
    assert 2 * (back & (mask > 0)).sum() / (back.sum() + mask.sum()) > 0.93


def test_a_mask_keeps_its_area_when_it_shrinks():
    mask = np.zeros((420, 580), bool)
    mask[100:220, 200:320] = True
    box = Letterbox.fit(mask.shape, (96, 128))
    shrunk = box.mask(mask).sum() / 255
    assert shrunk == pytest.approx(mask.sum() * (128 / 580) ** 2, rel=0.01)


def test_a_frame_lies_in_the_middle_of_the_input():
    box = Letterbox.fit((100, 100), (96, 128))
    assert (box.top, box.left) == (0, 16)
    covered = box.mask(np.ones((100, 100), bool))
    assert (covered[:, 16:112] == 255).all()
    assert not covered[:, :16].any()
    assert not covered[:, 112:].any()
    assert Letterbox.fit((100, 400), (96, 128)).top == 32
