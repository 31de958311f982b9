"""Frames of every kind that writers make: as tifffile, Pillow and pydicom show them, or refused; never something else."""

import io
from contextlib import suppress

import cv2
import numpy as np
import pydicom
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, apply_windowing

from nerveseg.errors import BadFileError
from nerveseg.imaging.frame_files import grey_range_of, read_frame, read_frames
from nerveseg.imaging.grey_range import GreyRange
from odd_files import dicom, encoded, picture

FRAME = picture(size=(20, 31))
LUMA = [0.299, 0.587, 0.114]
fast = settings(
    max_examples=60, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


def difference(frame, expected):
    return np.abs(frame.astype(float) - expected).max()


def coloured(grey):
    return np.stack([grey, grey[:, ::-1], grey[::-1]], axis=-1)


@fast
@given(
    bits=st.sampled_from([8, 12, 16]), colour=st.booleans(), byteorder=st.sampled_from("<>"), inverted=st.booleans(),
    separate=st.booleans(), tile=st.sampled_from([None, (16, 16)]), rows=st.integers(1, 20), orientation=st.integers(1, 8),
    compression=st.sampled_from([None, "deflate", "adobe_deflate", "lzw", "packbits", "zstd", "lzma"]), predicted=st.booleans(),
    big=st.booleans(),
)  # fmt: skip
def test_a_tiff_is_read_as_tifffile_has_it_or_refused(
    tmp_path, bits, colour, byteorder, inverted, separate, tile, rows, orientation, compression, predicted, big
):
    stored = FRAME if bits == 8 else FRAME.astype(np.uint16) * (16 if bits == 12 else 257)
    stored, photometric = (coloured(stored), "rgb") if colour else (stored, "miniswhite" if inverted else "minisblack")
    path = tmp_path / "frame.tif"
    planar = {"planarconfig": "separate" if separate else "contig"} if colour else {}
    tifffile.imwrite(
        path, np.moveaxis(stored, -1, 0) if colour and separate else stored, byteorder=byteorder, photometric=photometric,
        tile=tile, rowsperstrip=None if tile else rows, extratags=[(274, 3, 1, orientation, True)], metadata=None, **planar,
        bigtiff=big, compression=compression, predictor=predicted and compression not in (None, "packbits"),
    )  # fmt: skip
    expected = tifffile.imread(path)
    expected = (np.moveaxis(expected, 0, -1) if colour and separate else expected) * (255 / (2**bits - 1))
    expected = expected @ LUMA if colour else expected
    turned = ImageOps.exif_transpose(exif_image(255 - expected if inverted and not colour else expected, orientation))
    with suppress(BadFileError):
        assert difference(read_frame(path), np.asarray(turned)) <= 1
        return
    assert (colour and bits > 8) or (big and byteorder == ">")


def exif_image(pixels, orientation):
    image = Image.fromarray(np.round(pixels).astype(np.uint8))
    image.getexif()[274] = orientation
    return image


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("colour", [False, True])
def test_a_turned_picture_is_turned_back_and_that_is_said(tmp_path, kind, orientation, colour):
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"frame.{kind.lower()}"
    path.write_bytes(encoded(coloured(FRAME) if colour else FRAME, kind, exif=exif.tobytes()))
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("L"))
    frames, remark = read_frames(path)
    assert np.array_equal(frames[0], expected)
    assert (f"orientation {orientation}" in remark) == (orientation > 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_colours_of_sixteen_bits_keep_them_and_are_turned(tmp_path, orientation):
    wide, path = coloured(FRAME.astype(np.uint16) * 16), tmp_path / "frame.png"
    _, content = cv2.imencode(".png", wide[..., ::-1])
    exif = Image.Exif()
    exif[274] = orientation
    chunk = exif.tobytes().removeprefix(b"Exif\0\0")
    path.write_bytes(with_chunk(content.tobytes(), b"eXIf", chunk))
    frames, remark = read_frames(path)
    turned = ImageOps.exif_transpose(exif_image(wide @ LUMA * (255 / 4095), orientation))
    assert difference(frames[0], np.asarray(turned)) <= 1
    assert "whole numbers, taken as 12 bits: black at 0, white at 4095" in remark


def with_chunk(png, name, content):
    import struct
    import zlib

    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return png[:33] + chunk + png[33:]


@fast
@given(
    bits=st.sampled_from([8, 10, 12, 16]), shift=st.integers(0, 6), signed=st.booleans(), inverted=st.booleans(),
    window=st.none() | st.tuples(st.integers(1, 200), st.integers(2, 300)), slope=st.sampled_from([None, 1, 2]),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)  # fmt: skip
def test_a_dicom_is_shown_as_pydicom_shows_it_or_refused(
    tmp_path, bits, shift, signed, inverted, window, slope, function
):
    allocated = 8 if bits == 8 else 16
    shift = min(shift, allocated - bits)
    levels = (FRAME.astype(np.float64) * ((2**bits - 1) / 255)).astype(np.uint8 if bits == 8 else np.uint16)
    options = {"BitsStored": bits, "HighBit": bits - 1 + shift, "PixelRepresentation": int(signed)}
    options["PhotometricInterpretation"] = "MONOCHROME1" if inverted else "MONOCHROME2"
    if slope:
        options |= {"RescaleSlope": slope, "RescaleIntercept": 5}
    if window:
        scale = 2**bits / 256
        options |= {"WindowCenter": window[0] * scale, "WindowWidth": window[1] * scale, "VOILUTFunction": function}
    path = tmp_path / "frame.dcm"
    path.write_bytes(dicom((levels << shift)[np.newaxis], **options))
    found = pydicom.dcmread(path)
    try:
        frame = read_frame(path).astype(float)
    except BadFileError as error:
        assert signed
        assert "none below 0" in error.reason  # noqa: PT017 - whether it is raised depends on what is drawn
        return
    if signed and not window:
        return
    found.HighBit = bits - 1
    stored = np.where(levels >= 2 ** (bits - 1), levels.astype(int) - 2**bits, levels) if signed else levels.astype(int)
    if window:
        ends = np.concatenate([stored.ravel(), [-(10.0**7), 10.0**7]])
        shown = apply_windowing(apply_modality_lut(ends, found), found)
        share = ((shown - shown[-2]) / (shown[-1] - shown[-2]))[:-2].reshape(FRAME.shape)
    else:
        share = stored / (2**bits - 1)
    assert difference(frame, 255 * (1 - share if inverted else share)) <= 2


@pytest.mark.parametrize("entry_bits", [8, 16])
def test_palette_colours_of_a_dicom_are_what_pydicom_makes_of_them(tmp_path, entry_bits):
    rng = np.random.default_rng(3)
    tables = rng.integers(0, 2**entry_bits, (3, 256)).astype(np.uint16 if entry_bits == 16 else np.uint8)
    options = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        options[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, entry_bits]
        options[f"{colour}PaletteColorLookupTableData"] = table.tobytes()
    path = tmp_path / "frame.dcm"
    path.write_bytes(dicom(FRAME[np.newaxis], **options))
    expected = apply_color_lut(FRAME, pydicom.dcmread(path)) @ LUMA * (255 / (2**entry_bits - 1))
    frames, remark = read_frames(path)
    assert difference(frames[0], expected) <= 1
    assert "palette" in remark


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("kind", ["RGB", "YBR_FULL", "YBR_FULL_422"])
def test_colours_of_a_dicom_become_their_luminance(tmp_path, kind, planar):
    colours = cv2.resize(coloured(picture(size=(20, 30))), (30, 20))
    values = colours if kind == "RGB" else cv2.cvtColor(colours, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    pixels = values.transpose(2, 0, 1) if planar and kind != "YBR_FULL_422" else values
    if kind == "YBR_FULL_422":  # two luminances, then the colour that they share
        pixels = np.stack([values[:, ::2, 0], values[:, 1::2, 0], values[:, ::2, 1], values[:, ::2, 2]], axis=-1)
    content = dicom(
        colours[np.newaxis], PhotometricInterpretation=kind, SamplesPerPixel=3,
        PlanarConfiguration=planar if kind != "YBR_FULL_422" else 0, PixelData=np.ascontiguousarray(pixels).tobytes(),
    )  # fmt: skip
    path = tmp_path / "frame.dcm"
    path.write_bytes(content)
    expected = pydicom.dcmread(path).pixel_array @ LUMA
    assert difference(read_frame(path), expected) <= 1


def test_an_unknown_photometric_interpretation_is_refused_by_its_name(tmp_path):
    path = tmp_path / "frame.dcm"
    path.write_bytes(
        dicom(coloured(FRAME)[np.newaxis], PhotometricInterpretation="HSV", SamplesPerPixel=3, PlanarConfiguration=0)
    )
    with pytest.raises(BadFileError, match="photometric interpretation is 'HSV'"):
        read_frame(path)


def test_frames_of_one_source_share_one_scale_however_dark_one_is(tmp_path):
    paths = [tmp_path / "bright.png", tmp_path / "dark.png"]
    for path, factor in zip(paths, (16, 1), strict=True):
        path.write_bytes(encoded(FRAME.astype(np.uint16) * factor, "PNG"))
    grey_range = grey_range_of(paths)
    assert grey_range == GreyRange(integer=(0.0, 4095.0))
    bright, dark = (read_frame(path, grey_range) for path in paths)
    assert difference(dark, bright / 16) <= 1


def test_what_is_known_is_kept_and_what_contradicts_it_is_refused(tmp_path):
    path = tmp_path / "frame.png"
    path.write_bytes(encoded(FRAME.astype(np.uint16) * 257, "PNG"))
    known = grey_range_of([path], GreyRange(integer=(0.0, 4095.0)))
    with pytest.raises(BadFileError, match="its source was read with black at 0 and white at 4095"):
        read_frame(path, known)


@pytest.mark.parametrize("levels", [FRAME * -3.0, FRAME * 40.0, FRAME / 50.0 - 2])
def test_floats_of_another_range_are_asked_for_and_read_as_said(tmp_path, levels):
    path = tmp_path / "frame.tif"
    path.write_bytes(encoded(levels.astype(np.float32)))
    with pytest.raises(BadFileError, match=r"expected 0\.\.1 or 0\.\.255; say which levels are black and white"):
        read_frame(path, grey_range_of([path]))
    low, high = float(levels.min()), float(levels.max())
    frames, remark = read_frames(path, GreyRange.said([low, high]))
    assert difference(frames[0], (levels - low) * (255 / (high - low))) <= 1
    assert "black at" in remark
    narrow, remark = read_frames(path, GreyRange.said([low, (low + high) / 2]))
    assert narrow.max() == 255
    assert "what lies outside is cut" in remark


def test_sixteen_bits_without_a_known_white_are_asked_for_where_each_file_stands_alone(tmp_path):
    path = tmp_path / "frame.png"
    path.write_bytes(encoded(FRAME.astype(np.uint16) * 16, "PNG"))
    with pytest.raises(BadFileError, match="nothing says what is white"):
        read_frame(path, GreyRange())


def test_a_voi_table_is_applied(tmp_path):
    item = pydicom.Dataset()
    item.LUTDescriptor, item.LUTData = [256, 0, 8], np.arange(255, -1, -1).astype(np.uint16).tobytes()
    item["LUTData"].VR = "OW"
    path = tmp_path / "frame.dcm"
    path.write_bytes(dicom(FRAME[np.newaxis], VOILUTSequence=[item]))
    found = pydicom.dcmread(path)
    frames, remark = read_frames(path)
    assert difference(frames[0], apply_voi_lut(FRAME, found)) <= 1
    assert "VOI LUT" in remark


def test_transparent_pixels_are_said(tmp_path):
    path = tmp_path / "frame.png"
    path.write_bytes(encoded(np.dstack([coloured(FRAME), FRAME]), "PNG"))
    assert "transparent" in read_frames(path)[1]


def test_a_tiff_of_signed_bytes_is_refused_by_its_name(tmp_path):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, FRAME.astype(np.int8))
    (tmp_path / "frame.tif").write_bytes(buffer.getvalue())
    with pytest.raises(BadFileError, match="signed 8-bit"):
        read_frame(tmp_path / "frame.tif")
