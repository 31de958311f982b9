"""PNG as other libraries read it."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from nerveseg.registry.png import grey_png


@given(
    pixels=st.sampled_from([np.uint8, np.uint16]).flatmap(
        lambda kind: arrays(kind, array_shapes(min_dims=2, max_dims=2, max_side=20))
    )
)
def test_opencv_and_pillow_read_what_was_written(pixels):
    content = grey_png(pixels)
    read = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert read.dtype == pixels.dtype
    assert np.array_equal(read, pixels)
    with Image.open(io.BytesIO(content)) as image:
        assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_part_of_a_picture_in_any_order_of_memory_is_written(order):
    pixels = np.asarray(np.arange(600, dtype=np.uint16).reshape(20, 30), order=order)[::2, 3:9]
    read = cv2.imdecode(np.frombuffer(grey_png(pixels), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(read, pixels)


def test_a_smooth_map_takes_no_more_room_than_by_opencv():
    rows, columns = np.mgrid[:420, :580]
    smooth = (65535 * np.exp(-((rows - 200) ** 2 + (columns - 300) ** 2) / 3000)).astype(np.uint16)
    assert len(grey_png(smooth)) <= len(cv2.imencode(".png", smooth)[1])
