import cv2
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from nerveseg.data.frames import Letterbox, decode_rle, encode_rle, read_frame, read_mask, write_image
from nerveseg.errors import DatasetError

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


def test_a_mask_is_nerve_wherever_it_is_not_zero(tmp_path):
    cv2.imwrite(str(tmp_path / "mask.png"), np.array([[0, 1, 255]], np.uint8))
    assert read_mask(tmp_path / "mask.png").tolist() == [[False, True, True]]


def test_a_colour_mask_is_nerve_in_any_of_its_colours(tmp_path):
    cv2.imwrite(str(tmp_path / "mask.png"), np.array([[[1, 0, 0], [0, 0, 0], [0, 0, 255]]], np.uint8))
    assert read_mask(tmp_path / "mask.png").tolist() == [[True, False, True]]


def test_a_mask_as_jpeg_is_refused_since_compression_blurs_it(tmp_path):
    cv2.imwrite(str(tmp_path / "mask.jpg"), RAMP)
    with pytest.raises(DatasetError, match="export it as PNG or TIFF"):
        read_mask(tmp_path / "mask.jpg")


def write_dicom(path, frames):
    """A grey DICOM as an ultrasound machine exports it; `frames` is uint8 (N, H, W)."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PhotometricInterpretation = "US", "MONOCHROME2"
    dataset.SamplesPerPixel, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.NumberOfFrames = len(frames)
    dataset.Rows, dataset.Columns = frames.shape[1:]
    dataset.PixelData = frames.tobytes()
    dataset.save_as(path, enforce_file_format=True)


def test_a_single_frame_of_dicom_is_read(tmp_path):
    write_dicom(tmp_path / "frame.dcm", RAMP[np.newaxis])
    assert np.array_equal(read_frame(tmp_path / "frame.dcm"), RAMP)


def test_a_cine_loop_is_refused_with_its_number_of_frames(tmp_path):
    write_dicom(tmp_path / "loop.dcm", np.stack([RAMP, RAMP, RAMP]))
    with pytest.raises(DatasetError, match=r"loop\.dcm: a loop of 3 frames"):
        read_frame(tmp_path / "loop.dcm")


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg", ".bmp", ".dcm"])
@pytest.mark.parametrize(("content", "told"), [(b"", "empty"), (b"not an image at all", "not")])
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
    with pytest.raises(DatasetError, match=r"gone\.tif: cannot be read \(No such file"):
        read_frame(tmp_path / "gone.tif")


def test_pixels_that_are_not_integers_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "frame.tif"), RAMP.astype(np.float32))
    with pytest.raises(DatasetError, match="pixels are float32"):
        read_frame(tmp_path / "frame.tif")


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


def test_run_lengths_are_column_major_from_one_as_in_the_challenge():
    mask = np.zeros((3, 4), bool)
    mask[1, 0] = mask[2, 0] = mask[0, 1] = mask[2, 3] = True
    assert encode_rle(mask) == "2 3 12 1"


def test_an_empty_mask_has_no_runs():
    assert not encode_rle(np.zeros((5, 5), bool))


@given(arrays(np.bool_, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_run_lengths_give_the_mask_back(mask):
    assert np.array_equal(decode_rle(encode_rle(mask), mask.shape), mask)


@pytest.mark.parametrize("code", ["1", "0 2", "5 99", "1 -1", "a b"])
def test_run_lengths_that_make_no_mask_are_refused(code):
    with pytest.raises(DatasetError, match="run-length code"):
        decode_rle(code, (3, 4))
