"""Pixels of DICOM files by pydicom, against those that tensorflow-io decodes."""

import io
import sys

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, JPEGLosslessSV1, RLELossless

from drawn_frames import simulated_frame
from nerveseg.errors import BadFileError
from nerveseg.imaging import dicom_pixels as reader
from nerveseg.imaging.frame_files import read_frames
from odd_files import dicom

GREY = np.stack([simulated_frame((48, 80), nerve=True, seed=seed)[0] for seed in (1, 2)])
COLOUR = np.stack([GREY, GREY[:, ::-1], 255 - GREY], axis=-1)
IN_COLOUR = {"SamplesPerPixel": 3, "PlanarConfiguration": 0}


def jpeg(frame, **options):
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def compressed(content, syntax, frames):
    found = pydicom.dcmread(io.BytesIO(content))
    found.file_meta.TransferSyntaxUID = syntax
    found.PixelData = encapsulate(frames)
    found["PixelData"].is_undefined_length = True
    file = io.BytesIO()
    found.save_as(file)
    return file.getvalue()


def run_lengths():
    found = pydicom.dcmread(io.BytesIO(dicom(GREY)))
    found.compress(RLELossless)
    file = io.BytesIO()
    found.save_as(file)
    return file.getvalue()


FILES = {
    "8 bits": dicom(GREY),
    "16 bits": dicom(GREY.astype(np.uint16) * 257, BitsAllocated=16, BitsStored=16, HighBit=15),
    "12 bits": dicom(GREY.astype(np.uint16) * 16, BitsAllocated=16, BitsStored=12, HighBit=11),
    "high is dark": dicom(GREY, PhotometricInterpretation="MONOCHROME1"),
    "colour": dicom(COLOUR, PhotometricInterpretation="RGB", **IN_COLOUR),
    "luminance and chrominance": dicom(COLOUR, PhotometricInterpretation="YBR_FULL", **IN_COLOUR),
    "JPEG": compressed(dicom(GREY), JPEGBaseline8Bit, [jpeg(frame) for frame in GREY]),
    "JPEG in colour": compressed(
        dicom(COLOUR, PhotometricInterpretation="YBR_FULL_422", **IN_COLOUR),
        JPEGBaseline8Bit,
        [jpeg(frame, subsampling="4:2:2") for frame in COLOUR],
    ),
    "run lengths": run_lengths(),
}


@pytest.mark.parametrize("kind", FILES)
def test_pydicom_and_tensorflow_io_see_the_same_frames(tmp_path, monkeypatch, kind):
    path = tmp_path / "loop.dcm"
    path.write_bytes(FILES[kind])
    found, _ = read_frames(path)
    monkeypatch.setattr(reader, "_by_pydicom", lambda *_: None)
    expected, _ = read_frames(path)
    assert found.shape == expected.shape == GREY.shape
    assert np.abs(found.astype(int) - expected).max() <= 2  # they round colours and cosines each in its way
    if "JPEG" not in kind and "chrominance" not in kind and "colour" not in kind:
        assert np.abs(found.astype(int) - (255 - GREY if kind == "high is dark" else GREY)).max() <= 1


def test_what_pydicom_cannot_decode_here_is_told_where_tensorflow_io_is_not_installed(tmp_path, monkeypatch):
    path = tmp_path / "loop.dcm"
    path.write_bytes(compressed(dicom(GREY), JPEGLosslessSV1, [b"\xff\xd8\xff\xd9"] * 2))
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    with pytest.raises(
        BadFileError, match="only tensorflow-io decodes, which is not installed; export it uncompressed"
    ):
        read_frames(path)


def test_damaged_pixels_are_told(tmp_path):
    path = tmp_path / "loop.dcm"
    path.write_bytes(compressed(dicom(GREY), JPEGBaseline8Bit, [b"\xff\xd8 no picture"] * 2))
    with pytest.raises(BadFileError, match="its pixels cannot be decoded"):
        read_frames(path)


@pytest.mark.parametrize("high", [5, 9])
def test_a_highest_bit_beyond_those_that_are_stored_is_refused(tmp_path, high):
    path = tmp_path / "frame.dcm"
    path.write_bytes(dicom(GREY, HighBit=high))
    with pytest.raises(BadFileError, match="its pixels cannot be decoded"):
        read_frames(path)
