"""Grey levels that a TIFF holds as they are come from the file itself: they must be what Pillow decodes."""

from io import BytesIO

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nerveseg.errors import BadFileError
from nerveseg.imaging.frame_files import read_frame, read_frames
from nerveseg.imaging.image_files import pages
from nerveseg.imaging.page import ORIENTATION

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
    with pytest.raises(BadFileError, match="damaged, cut short or"):
        only_page(path)


def animated(kind, frames=4):
    first, *others = (Image.fromarray(np.roll(FRAME, number)) for number in range(frames))
    buffer = BytesIO()
    first.save(buffer, kind, save_all=True, append_images=others)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "MPO"])
def test_an_animation_is_refused_and_not_read_as_its_first_frame(tmp_path, kind):
    path = tmp_path / "frame.png"
    path.write_bytes(animated(kind))
    with pytest.raises(BadFileError, match=r"several images .*, expected one frame; export the frames singly"):
        only_page(path)
    path.write_bytes(animated(kind, frames=1))
    assert only_page(path).values.shape == FRAME.shape


@pytest.mark.parametrize("kind", ["jpegxl", "jpeg2000", "lerc", "webp"])
def test_a_compression_that_is_not_read_is_told_by_its_name(tmp_path, kind):
    pytest.importorskip("imagecodecs")
    path = tmp_path / "frame.tif"
    tifffile.imwrite(path, np.dstack([FRAME] * 3), photometric="rgb", compression=kind)
    with pytest.raises(
        BadFileError, match=r"a TIFF in a compression that is not read \((JPEG XL|JPEG 2000|LERC|WebP)\); export it"
    ):
        only_page(path)


def test_colours_that_opencv_refuses_are_told_and_no_traceback(tmp_path, monkeypatch):
    path = tmp_path / "frame.png"
    cv2.imwrite(str(path), np.dstack([FRAME.astype(np.uint16) * 257] * 3))

    def refused(*_):
        raise cv2.error("image too large")

    monkeypatch.setattr(cv2, "imdecode", refused)
    with pytest.raises(BadFileError, match="colours of more than 8 bits"):
        only_page(path)


STACKS = {
    "tiled volume": {"volumetric": True, "tile": (16, 16, 16)},
    "truncated series": {"metadata": {"axes": "ZYX"}, "truncate": True},
}


@pytest.mark.parametrize("kind", STACKS)
def test_a_stack_that_has_one_page_is_refused_and_not_read_as_its_first_image(tmp_path, kind):
    path = tmp_path / "frame.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.stack([FRAME] * 16), photometric="minisblack", **STACKS[kind])
    with pytest.raises(BadFileError, match=r"several images .*, expected one frame"):
        only_page(path)


def test_a_palette_tiff_whose_colours_have_8_bits_is_not_black(tmp_path):
    path = tmp_path / "frame.tif"
    for scale in (1, 257):
        ramp = np.tile(np.arange(256, dtype=np.uint16) * scale, (3, 1))
        tifffile.imwrite(path, FRAME, photometric="palette", colormap=ramp)
        assert np.array_equal(read_frame(path), FRAME)


def test_a_channel_that_does_not_say_what_it_is_gets_a_remark(tmp_path):
    path = tmp_path / "frame.tif"
    tifffile.imwrite(path, np.stack([FRAME, 255 - FRAME], axis=-1), photometric="minisblack", planarconfig="contig")
    frames, remark = read_frames(path)
    assert np.array_equal(frames[0], FRAME)
    assert remark == "a further channel, left out since it does not say what it is"


def test_ycbcr_has_no_further_channel_and_is_refused_where_pillow_would_show_other_colours(tmp_path):
    path = tmp_path / "frame.tif"
    colours = Image.merge("YCbCr", [Image.fromarray(FRAME)] + [Image.new("L", FRAME.shape[::-1], 128)] * 2)
    colours.save(path, compression="tiff_lzw")
    assert (read_frames(path)[1], only_page(path).lossy) == ("", True)
    colours.save(path)
    with pytest.raises(BadFileError, match="a TIFF of uncompressed YCbCr colours; export it in RGB or grey"):
        read_frames(path)


@pytest.mark.parametrize("mode", ["L", "I;16", "RGB", "P", "1"])
def test_a_png_in_which_a_single_bit_was_flipped_is_damaged(tmp_path, mode):
    path = tmp_path / "frame.png"
    image = Image.fromarray(FRAME)
    (Image.fromarray(FRAME.astype(np.uint16)) if mode == "I;16" else image.convert(mode)).save(path)
    content, start = path.read_bytes(), path.read_bytes().find(b"IDAT") + len("IDAT")
    for place in np.linspace(start, len(content) - 14, 12, dtype=int):  # up to the checksum, before the end
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(BadFileError, match="damaged, cut short or"):
            only_page(path)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("missing", ["dataoffsets", "databytecounts"])
def test_a_tiff_that_leaves_out_a_strip_is_refused(tmp_path, compression, missing):
    path = tmp_path / "sparse.tif"
    tifffile.imwrite(path, FRAME, rowsperstrip=10, compression=compression)
    with tifffile.TiffFile(path, mode="r+b") as file:
        tag = file.pages[0].tags[273 if missing == "dataoffsets" else 279]
        tag.overwrite([*tag.value[:2], 0, *tag.value[3:]])
    with pytest.raises(BadFileError, match=r"leaves out part of its pixels \(sparse\); export it with all of them"):
        only_page(path)


@pytest.mark.parametrize("alpha", ["unassalpha", "assocalpha"])
def test_grey_levels_and_alpha_in_planes_are_told_for_what_they_are(tmp_path, alpha):
    path = tmp_path / "planes.tif"
    planes = np.stack([FRAME, np.full_like(FRAME, 255)])
    tifffile.imwrite(path, planes, photometric="minisblack", planarconfig="separate", extrasamples=[alpha])
    with pytest.raises(BadFileError, match="uncompressed grey levels and alpha in planes; export it without alpha"):
        only_page(path)
