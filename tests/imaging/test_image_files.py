"""Grey levels that a TIFF holds as they are come from the file itself: they must be what Pillow decodes."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nerveseg.errors import BadFileError
from nerveseg.imaging.image_files import ORIENTATION, pages

FRAME = np.random.default_rng(0).integers(0, 256, (37, 53)).astype(np.uint8)


def only_page(path):
    (page,) = pages(path)
    return page


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 90), height=st.integers(1, 90), rows=st.integers(1, 90),
    compression=st.sampled_from([None, "tiff_lzw", "packbits", "tiff_adobe_deflate"]),
)  # fmt: skip
def test_any_strips_and_compression_give_the_levels_that_were_saved(tmp_path_factory, width, height, rows, compression):
    frame = np.random.default_rng([width, height]).integers(0, 256, (height, width)).astype(np.uint8)
    path = tmp_path_factory.mktemp("tiff") / "frame.tif"
    Image.fromarray(frame).save(path, compression=compression, tiffinfo={278: rows})
    page = only_page(path)
    assert np.array_equal(page.values, frame)
    assert (page.stored is None) == (compression is not None)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_is_turned_back_as_pillow_does(tmp_path, orientation):
    path = tmp_path / "turned.tif"
    Image.fromarray(FRAME).save(path, tiffinfo={ORIENTATION: orientation})
    turned = Image.open(BytesIO(path.read_bytes()))  # from a file's own pages Pillow does not turn all of them
    assert np.array_equal(only_page(path).values, np.asarray(turned))


def test_black_on_white_levels_are_inverted_as_pillow_does(tmp_path):
    path = tmp_path / "inverted.tif"
    Image.fromarray(FRAME).save(path, tiffinfo={262: 0})
    with Image.open(path) as image:
        assert np.array_equal(only_page(path).values, np.asarray(image))


@pytest.mark.parametrize("cut", [1, 37 * 53 // 2])
def test_levels_that_the_file_claims_but_does_not_hold_are_refused(tmp_path, cut):
    path = tmp_path / "short.tif"
    Image.fromarray(FRAME).save(path)
    content = path.read_bytes()
    start = content.find(FRAME.tobytes())
    late = len(content) - FRAME.size + cut  # where the strip is said to begin, so that the file ends before it does
    assert content.count(start.to_bytes(4, "little")) == 1
    path.write_bytes(content.replace(start.to_bytes(4, "little"), late.to_bytes(4, "little")))
    with pytest.raises(BadFileError, match="damaged or cut short"):
        only_page(path)
