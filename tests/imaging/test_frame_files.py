import cv2
import numpy as np
import pytest
import tifffile

from nerveseg.errors import DatasetError
from nerveseg.imaging.frame_files import read_frame, read_frames, write_image
from nerveseg.imaging.grey_range import GreyRange
from odd_files import dicom

RAMP = np.tile(np.arange(0, 250, 5, dtype=np.uint8), (30, 1))


@pytest.mark.parametrize("suffix", [".tif", ".png", ".bmp"])
def test_a_frame_comes_back_as_it_was_written(tmp_path, suffix):
    write_image(tmp_path / f"frame{suffix}", RAMP)
    assert np.array_equal(read_frame(tmp_path / f"frame{suffix}"), RAMP)
    assert [path.name for path in tmp_path.iterdir()] == [f"frame{suffix}"]


def test_sixteen_bits_become_eight(tmp_path):
    cv2.imwrite(str(tmp_path / "frame.png"), RAMP.astype(np.uint16) * 257)
    assert np.array_equal(read_frame(tmp_path / "frame.png"), RAMP)


def test_grey_stored_as_colour_becomes_grey(tmp_path):
    cv2.imwrite(str(tmp_path / "frame.png"), cv2.cvtColor(RAMP, cv2.COLOR_GRAY2BGR))
    assert np.array_equal(read_frame(tmp_path / "frame.png"), RAMP)


def test_a_single_frame_of_dicom_is_read(tmp_path):
    (tmp_path / "frame.dcm").write_bytes(dicom(RAMP[np.newaxis]))
    assert np.array_equal(read_frame(tmp_path / "frame.dcm"), RAMP)


@pytest.mark.parametrize(("bits", "factor"), [(12, 16), (16, 257)])
def test_a_dicom_of_more_bits_is_scaled_by_those_that_it_uses(tmp_path, bits, factor):
    content = dicom(RAMP[np.newaxis].astype(np.uint16) * factor, BitsStored=bits, HighBit=bits - 1)
    (tmp_path / "frame.dcm").write_bytes(content)
    assert np.abs(read_frame(tmp_path / "frame.dcm").astype(int) - RAMP).max() <= 1


def test_a_loop_where_one_frame_is_expected_is_refused_with_its_number_of_frames(tmp_path):
    (tmp_path / "loop.dcm").write_bytes(dicom(np.stack([RAMP, RAMP, RAMP])))
    with pytest.raises(DatasetError, match=r"loop\.dcm: 3 frames, expected one"):
        read_frame(tmp_path / "loop.dcm")


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg", ".bmp", ".dcm"])
@pytest.mark.parametrize(
    ("content", "told"), [(b"", "empty"), (b"neither here nor there", "no (readable DICOM )?image")]
)
def test_what_is_no_image_is_named(tmp_path, suffix, content, told):
    path = tmp_path / f"frame{suffix}"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"frame\{suffix}.*{told}"):
        read_frame(path)


def test_a_truncated_tiff_is_named(tmp_path):
    path = tmp_path / "frame.tif"
    write_image(path, RAMP)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DatasetError, match=r"frame\.tif"):
        read_frame(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"gone\.tif: it cannot be read \(No such file"):
        read_frame(tmp_path / "gone.tif")


@pytest.mark.parametrize(
    ("dtype", "levels", "told"),
    [
        (np.uint16, None, "whole numbers, taken as 8 bits: black at 0, white at 255"),
        (np.uint32, None, "whole numbers, taken as 8 bits: black at 0, white at 255"),
        (np.int16, None, "whole numbers, taken as 8 bits: black at 0, white at 255"),
        (np.int32, None, "whole numbers, taken as 8 bits: black at 0, white at 255"),
        (np.uint16, (0, 300), "whole numbers: black at 0, white at 300"),
    ],
)
def test_a_remark_says_how_many_bits_are_taken(tmp_path, dtype, levels, told):
    path = tmp_path / "frame.tif"
    tifffile.imwrite(path, np.arange(200).reshape(10, 20).astype(dtype))
    assert read_frames(path, GreyRange.said(levels) if levels else None)[1] == told
