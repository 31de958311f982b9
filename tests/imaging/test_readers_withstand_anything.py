"""Arbitrary bytes, and real files cut short or altered, at every reader: a clear refusal or a sound array, no more."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nerveseg.errors import BadFileError, DatasetError
from nerveseg.imaging.dicom import is_dicom, read_header
from nerveseg.imaging.frame_files import read_frames
from nerveseg.imaging.mask_files import read_masks
from nerveseg.preprocessing.audit import take_inventory
from nerveseg.preprocessing.subjects import SubjectRules
from odd_files import blob, dicom, encoded, paged, palette, picture

SMALL = picture(size=(12, 20))
REAL = {
    "tif": encoded(SMALL),
    "lzw": encoded(SMALL, compression="tiff_lzw"),
    "deflate": encoded(SMALL, compression="tiff_adobe_deflate"),
    "pages": paged([SMALL, SMALL]),
    "float": encoded(SMALL.astype(np.float32)),
    "png": encoded(SMALL, "PNG"),
    "png16": encoded(SMALL.astype(np.uint16), "PNG"),
    "palette": palette(blob((32, 50), 1), [(0, 0, 0), (255, 0, 0)]),
    "jpg": encoded(SMALL, "JPEG"),
    "bmp": encoded(SMALL, "BMP"),
    "dcm": dicom(np.stack([SMALL, SMALL])),
}
SUFFIXES = ("tif", "png", "jpg", "bmp", "dcm")


@st.composite
def damaged(draw):
    """A real file with some bytes changed, most of them in its header, and perhaps cut short or with a tail."""
    content = bytearray(draw(st.sampled_from(sorted(REAL.values()))))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, min(len(content), draw(st.sampled_from([64, 1000, 10**6]))) - 1))
        content[place] = draw(st.integers(0, 255))
    content = content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content
    return bytes(content) + draw(st.binary(max_size=8))


CONTENT = st.one_of(st.binary(max_size=300), damaged())
LABELS = st.sampled_from([(), (1,), (255,), ("#ff0000",), (1, "#00ff00")])
many = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.parametrize("suffix", SUFFIXES)
@many
@given(content=CONTENT, labels=LABELS)
def test_a_frame_and_a_mask_are_read_or_refused(tmp_path, suffix, content, labels):
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    for read in (read_frames, lambda path: ([found.mask for found in read_masks(path, labels)], "")):
        with suppress(BadFileError):
            arrays, remark = read(path)
            assert all(array.ndim == 2 and array.size and array.dtype in (np.uint8, np.bool_) for array in arrays)
            assert isinstance(remark, str)
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == content


@many
@given(content=CONTENT)
def test_a_dicom_header_is_read_or_refused(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    is_dicom(path)
    with suppress(BadFileError):
        header = read_header(path)
        assert min(header.frames, header.height, header.width) > 0


@many
@given(
    content=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")))
)
def test_a_table_of_subjects_is_read_or_refused(tmp_path, content):
    (tmp_path / "subjects.csv").write_bytes(content)
    with suppress(DatasetError):
        assert SubjectRules.read(tmp_path, "^(.)").listed


@settings(many, max_examples=60)
@given(frame=CONTENT, mask=CONTENT, suffix=st.sampled_from(SUFFIXES), mask_suffix=st.sampled_from(SUFFIXES))
def test_whatever_a_folder_holds_every_file_is_accounted_for(tiny, tmp_path, frame, mask, suffix, mask_suffix):
    folder = tmp_path / "set"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    (folder / f"1_1.{suffix}").write_bytes(frame)
    (folder / f"1_1_mask.{mask_suffix}").write_bytes(mask)
    inventory = take_inventory(folder, tiny.data, tmp_path, (32, 64), clear_names=True)
    used = {file.split(",")[0] for frame in inventory.frames for file in frame.files}
    refused = {item.file.split(",")[0] for item in inventory.quarantined}
    assert used | refused == {f"1_1.{suffix}", f"1_1_mask.{mask_suffix}"}
    assert {path.name for path in tmp_path.iterdir()} <= {"set", "params.yaml", ".nerveseg-salt"}
