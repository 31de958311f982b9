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
    told = "only tensorflow-io decodes, which is not installed; export it uncompressed, or install nerveseg's extra `train`"
    with pytest.raises(BadFileError, match=told):
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


def groups(*items):
    """What an enhanced file says frame by frame: windows (centre, width), or slopes."""
    found = []
    for values in items:
        group, of_group = pydicom.Dataset(), pydicom.Dataset()
        if isinstance(values, tuple):
            of_group.WindowCenter, of_group.WindowWidth = values
            group.FrameVOILUTSequence = [of_group]
        elif values is not None:
            of_group.RescaleSlope, of_group.RescaleIntercept = values, 0
            group.PixelValueTransformationSequence = [of_group]
        found.append(group)
    return found


@pytest.mark.parametrize("where", ["in the file", "shared", "of each frame"])
def test_a_window_is_applied_wherever_an_enhanced_file_holds_it(tmp_path, where):
    path, twelve = tmp_path / "loop.dcm", {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
    window = {
        "in the file": {"WindowCenter": 1024, "WindowWidth": 2048},
        "shared": {"SharedFunctionalGroupsSequence": groups((1024, 2048))},
        "of each frame": {"PerFrameFunctionalGroupsSequence": groups((1024, 2048), (1024, 2048))},
    }[where]
    path.write_bytes(dicom(GREY.astype(np.uint16) * 8, **twelve, **window))
    found, remark = read_frames(path)
    assert np.abs(found.astype(int) - GREY).max() <= 1
    assert remark == "shown through its window, centre 1024, width 2048"


@pytest.mark.parametrize("kinds", [((100, 50), (100, 60)), ((100, 50), None), (1, 2), (1, None)])
def test_frames_that_differ_in_window_or_slope_are_refused(tmp_path, kinds):
    path = tmp_path / "loop.dcm"
    path.write_bytes(dicom(GREY, PerFrameFunctionalGroupsSequence=groups(*kinds)))
    with pytest.raises(BadFileError, match="frames that differ in window or slope; export its frames with one window"):
        read_frames(path)


@pytest.mark.parametrize(
    ("width", "function"), [(-5, "LINEAR"), (0.5, "LINEAR"), (-5, "LINEAR_EXACT"), (-5, "SIGMOID")]
)
def test_a_window_too_narrow_to_show_anything_is_refused(tmp_path, width, function):
    path = tmp_path / "frame.dcm"
    path.write_bytes(dicom(GREY, WindowCenter=100, WindowWidth=width, VOILUTFunction=function))
    with pytest.raises(BadFileError, match="its palette, LUT or window cannot be applied"):
        read_frames(path)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_does_not_set_the_scale(tmp_path, photometric):
    path, levels = tmp_path / "frame.dcm", GREY[:1].astype(np.uint16) * 16
    levels[0, :4] = 65535
    levels[0, 4, 0], levels[0, 4, 1] = 0, 4080
    path.write_bytes(dicom(levels, PixelPaddingValue=65535, PhotometricInterpretation=photometric))
    (frame,), remark = read_frames(path)
    assert "taken as 12" in remark
    assert (frame[:4] == frame[4, 1 if photometric == "MONOCHROME1" else 0]).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_another_image_that_is_called_a_dicom_is_told_by_its_kind(tmp_path, kind):
    path = tmp_path / "frame.dcm"
    Image.fromarray(GREY[0]).save(path, kind)
    with pytest.raises(BadFileError, match=rf"a {kind}, no DICOM file; rename it so that it ends in \.{kind.lower()}"):
        read_frames(path)
