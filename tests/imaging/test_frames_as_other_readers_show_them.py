"""Frames and loops as SimpleITK and ffmpeg show them, and files that none of our readers knows: called what they are."""

import io
import subprocess
from contextlib import suppress

import imageio_ffmpeg
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everyone calls it
import tifffile
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from nerveseg.errors import BadFileError
from nerveseg.imaging.frame_files import read_frame, read_frames
from nerveseg.imaging.grey_range import GreyRange
from nerveseg.imaging.video import open_video, read_video
from odd_files import dicom, encoded, picture

FRAME = picture(size=(48, 64))
LUMA = [0.299, 0.587, 0.114]
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
fast = settings(
    max_examples=30, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


def loop(count):
    return np.stack([np.roll(FRAME, 5 * step, axis=1) for step in range(count)])


def by_simpleitk(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(float)


def difference(frames, expected):
    return np.abs(frames.astype(float) - expected).max()


@fast
@given(
    bits=st.sampled_from([8, 10, 12, 16]), signed=st.booleans(), inverted=st.booleans(), slope=st.sampled_from([1, 2, 0.5]),
    intercept=st.integers(-9, 9), count=st.integers(1, 3),
)  # fmt: skip
def test_a_dicom_is_read_as_simpleitk_reads_it(tmp_path, bits, signed, inverted, slope, intercept, count):
    assume(not (signed and inverted))  # which SimpleITK refuses, or mirrors about another middle
    levels = loop(count).astype(np.float64) * ((2**bits - 1) / 255)
    levels = levels.astype(np.uint8 if bits == 8 else np.uint16)
    path = tmp_path / "loop.dcm"
    path.write_bytes(dicom(
        levels, BitsStored=bits, HighBit=bits - 1, PixelRepresentation=int(signed), RescaleSlope=slope,
        RescaleIntercept=intercept, PhotometricInterpretation=f"MONOCHROME{1 if inverted else 2}",
    ))  # fmt: skip
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    share = ((by_simpleitk(path) - intercept) / slope - low) / (high - low)
    frames, _ = read_frames(path, GreyRange.said([low, high]))
    assert difference(frames, 255 * share) <= 1


@fast
@given(
    kind=st.sampled_from([np.uint8, np.uint16, np.int16]), compressor=st.sampled_from([None, "JPEG2000", "JPEG"]),
    count=st.integers(1, 3), peak=st.integers(1, 32767),
)  # fmt: skip
def test_a_dicom_that_simpleitk_wrote_is_read_or_refused(tmp_path, kind, compressor, count, peak):
    assume(count == 1 or kind is not np.int16)  # which SimpleITK does not write
    levels = (loop(count) * (min(peak, np.iinfo(kind).max) / 255)).astype(kind)
    writer, path = sitk.ImageFileWriter(), tmp_path / "loop.dcm"
    writer.SetFileName(str(path))
    if compressor:
        writer.SetUseCompression(True)
        writer.SetCompressor(compressor)
    writer.Execute(sitk.GetImageFromArray(levels if count > 1 else levels[0]))
    high = 255 if kind is np.uint8 else 32767
    try:
        frames, _ = read_frames(path, GreyRange.said([0, high]))
    except BadFileError as error:
        assert compressor == "JPEG"
        assert "signs" in error.reason  # noqa: PT017 - whether it is raised depends on what is drawn
        return
    assert difference(frames, by_simpleitk(path) * (255 / high)) <= 1


@pytest.mark.parametrize("entry_bits", [8, 16])
def test_palette_colours_of_a_dicom_are_those_of_simpleitk(tmp_path, entry_bits):
    tables = np.random.default_rng(3).integers(0, 2**entry_bits, (3, 256)).astype(f"uint{entry_bits}")
    options = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        options[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, entry_bits]
        options[f"{colour}PaletteColorLookupTableData"] = table.tobytes()
    path = tmp_path / "frame.dcm"
    path.write_bytes(dicom(FRAME[np.newaxis], **options))
    assert difference(read_frame(path), by_simpleitk(path)[0] @ LUMA) <= 1.1  # it rounds each colour to 8 bits


@fast
@given(
    bits=st.sampled_from([8, 16]), colour=st.booleans(), kind=st.sampled_from(["png", "tif"]),
    compressor=st.sampled_from(["", "PackBits", "LZW", "Deflate"]),
)  # fmt: skip
def test_an_image_that_simpleitk_wrote_is_read_as_it_reads_it(tmp_path, bits, colour, kind, compressor):
    levels = FRAME if bits == 8 else FRAME.astype(np.uint16) * 257
    levels = np.stack([levels, levels[:, ::-1], levels[::-1]], axis=-1) if colour else levels
    path = tmp_path / f"frame.{kind}"
    compressor = compressor if kind == "tif" else ""
    image = sitk.GetImageFromArray(levels, isVector=colour)
    sitk.WriteImage(image, str(path), useCompression=bool(compressor), compressor=compressor)
    expected = by_simpleitk(path) * (255 / (2**bits - 1))
    assert difference(read_frame(path), expected @ LUMA if colour else expected) <= 1


@fast
@given(
    levels=st.sampled_from([np.float32, np.int16, np.int32, np.uint16, np.uint32]), byteorder=st.sampled_from("<>"),
    compression=st.sampled_from([None, "deflate", "lzw", "zstd"]), predicted=st.booleans(), inverted=st.booleans(),
    tile=st.sampled_from([None, (16, 16)]), top=st.sampled_from([1.0, 32767.0, 2.0**31 - 128, 2.0**32 - 256]),
)  # fmt: skip
@example(np.uint32, "<", None, False, False, None, 2.0**32 - 256)
def test_a_tiff_of_wide_levels_is_read_as_tifffile_has_it_or_refused(
    tmp_path, levels, byteorder, compression, predicted, inverted, tile, top
):
    assume(levels is np.float32 or 1 < top <= np.iinfo(levels).max)
    path = tmp_path / "frame.tif"
    tifffile.imwrite(
        path, (FRAME * (top / 255)).astype(levels), byteorder=byteorder, tile=tile, compression=compression,
        predictor=predicted and compression is not None, photometric="miniswhite" if inverted else "minisblack",
    )  # fmt: skip
    share = tifffile.imread(path) / top
    with suppress(BadFileError):
        assert difference(read_frame(path, GreyRange.said([0, top])), 255 * (1 - share if inverted else share)) <= 1
        return
    assert levels in (np.int16, np.int32, np.uint32)
    assert inverted or (levels is np.uint32 and byteorder == ">")


def ffmpeg(*arguments, content=b""):
    done = subprocess.run(
        [FFMPEG, "-y", "-loglevel", "error", *map(str, arguments)], input=content, capture_output=True, check=True
    )
    return done.stdout


@fast
@given(
    kind=st.sampled_from([
        ("mp4", "libx264", "yuv420p"), ("mp4", "libx264", "yuvj420p"), ("mp4", "mpeg4", "yuv420p"), ("mp4", "libx264", "gray"),
        ("avi", "mjpeg", "yuvj420p"), ("avi", "rawvideo", "gray"), ("avi", "rawvideo", "bgr24"), ("avi", "ffv1", "gray16le"),
        ("avi", "msmpeg4v2", "yuv420p"), ("mov", "qtrle", "rgb24"), ("webm", "libvpx-vp9", "yuv420p"), ("wmv", "wmv2", "yuv420p"),
    ]),
    count=st.integers(1, 9), rate=st.sampled_from([5, 25, 60]), turned=st.sampled_from([0, 90, 180, 270]),
)  # fmt: skip
@example(("wmv", "wmv2", "yuv420p"), 2, 5, 0)
def test_the_frames_of_a_video_are_those_that_ffmpeg_shows(tmp_path, kind, count, rate, turned):
    suffix, codec, pixels = kind
    raw, path = ("-f", "rawvideo", "-pix_fmt", "gray"), tmp_path / f"loop.{suffix}"
    ffmpeg(
        *raw, "-s", "64x48", "-r", rate, "-i", "-", "-c:v", codec, "-pix_fmt", pixels, path, content=loop(count).tobytes()
    )  # fmt: skip
    if turned and suffix in ("mp4", "mov"):
        upright = path.rename(tmp_path / f"upright.{suffix}")
        ffmpeg("-display_rotation", turned, "-i", upright, "-c", "copy", path)
    shown = np.frombuffer(ffmpeg("-i", path, *raw, "-fps_mode", "passthrough", "-"), np.uint8)
    remarks: list[str] = []
    frames = read_video(path, remarks.append)
    assert (len(frames), remarks) == (count, [])
    assert difference(frames, shown.reshape(frames.shape)) <= 1
    frame_time = open_video(path)[1]
    assert frame_time == pytest.approx(1000 / rate, rel=0.01) or (frame_time is None and suffix == "wmv" and count < 3)


@pytest.mark.parametrize(("suffix", "codec"), [("avi", "mjpeg"), ("mkv", "ffv1"), ("flv", "flv1")])
def test_a_video_that_ends_before_its_container_says_is_told(tmp_path, suffix, codec):
    path, remarks = tmp_path / f"loop.{suffix}", []
    raw = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", "64x48", "-r", 25, "-i", "-")
    ffmpeg(*raw, "-c:v", codec, path, content=loop(20).tobytes())
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    count = len(read_video(path, remarks.append))
    assert 1 < count < 19
    assert remarks == [f"ends after {count} frames and {count / 25:.2f} s, but states 0.80 s; copy it again"]


def tiff(levels, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, levels, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "found", "remedy"),
    [
        (encoded(FRAME, "WEBP"), "a WebP", "convert"),
        (encoded(FRAME, "GIF"), "a GIF", "convert"),
        (encoded(FRAME, "JPEG2000"), "a JPEG 2000", "convert"),
        (encoded(FRAME, "PPM"), "a PNM", "convert"),
        (dicom(FRAME[np.newaxis]), "DICOM", r"\.dcm"),
        (b"\0\0\0\x20ftypisom" + b"\0" * 40, "a video", r"\.mp4"),
        (b"\0\0\0\x20ftypheic" + b"\0" * 40, "a HEIC", "convert"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "a page", "download"),
        (b"PK\3\4....", "an archive", "unpack"),
        (encoded(FRAME, "PNG")[:9], "a PNG that is damaged at its start or of a kind that is not read", "copy it again"),
        (b"II*\0\x08\0", "a TIFF that is damaged at its start or of a kind that is not read", "copy it again"),
        (b"\xff\xd8\xff\xf7\0\x0b\x08", "a JPEG that is damaged at its start or of a kind that is not read", "export"),
        (b"nothing known", "13 bytes that are no image, expected TIFF, PNG", "copy it again"),
        (tiff(FRAME.astype(np.float16)), r"a form that is not read \(16-bit floating point\), expected grey levels of 8 or 16", "export"),
        (tiff(FRAME.astype(np.float64), bigtiff=True), "64-bit floating point", "export"),
        (tiff(FRAME.astype(np.uint32), byteorder=">"), "32-bit unsigned integers, the highest byte first", "export"),
        (tiff(FRAME, bigtiff=True, byteorder=">"), "a BigTIFF with the highest byte first", "ordinary TIFF"),
        (tiff(np.dstack([FRAME] * 3).astype(np.float32), photometric="rgb"), "3 values a pixel", "export"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_image_of_ours_is_called_what_it_is(tmp_path, content, found, remedy):
    (tmp_path / "frame.png").write_bytes(content)
    with pytest.raises(BadFileError, match=f"{found}.*; .*{remedy}"):
        read_frame(tmp_path / "frame.png")


def test_an_empty_video_and_one_without_frames_are_told_apart_from_a_broken_one(tmp_path):
    path = tmp_path / "loop.avi"
    path.write_bytes(b"")
    with pytest.raises(BadFileError, match="the file is empty; copy it again"):
        open_video(path)
    ffmpeg(
        "-f", "rawvideo", "-pix_fmt", "gray", "-s", "64x48", "-i", "-", "-frames:v", 0, path, content=FRAME.tobytes()
    )
    with pytest.raises(BadFileError, match="a video without a frame"):
        open_video(path)
    path.write_bytes(b"no video")
    with pytest.raises(BadFileError, match="no video that can be read here, or one without frames"):
        open_video(path)
