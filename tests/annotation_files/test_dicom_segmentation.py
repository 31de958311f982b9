"""DICOM segmentations, read by highdicom, checked by dicom3tools' `dciodvfy` and read back by `check`'s own reader."""

import os
import shutil
import subprocess

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from nerveseg.annotation_files.dicom_segmentation import write_segmentation
from nerveseg.errors import BadFileError
from nerveseg.imaging.dicom import read_header
from nerveseg.imaging.mask_files import read_masks
from odd_files import blob, dicom, picture

STUDY = {
    "StudyInstanceUID": generate_uid(entropy_srcs=["study"]),
    "SeriesInstanceUID": generate_uid(entropy_srcs=["series"]),
    "StudyDate": "20200101",
    "StudyTime": "101010",
    "StudyID": "1",
    "AccessionNumber": "A1",
    "ReferringPhysicianName": "",
    "PatientSex": "F",
    "SeriesNumber": 3,
    "InstanceNumber": 7,
}
MODEL = "ab" * 32


@pytest.fixture(params=[1, 4], ids=["a still frame", "a loop"])
def frames(request):
    return request.param


@pytest.fixture
def masks(frames):
    """Those of the frames of a loop; the third shows no nerve."""
    return [np.roll(blob() > 0, number, axis=1) & (number != 2) for number in range(frames)]


@pytest.fixture
def source(tmp_path, frames):
    path = tmp_path / "x.dcm"
    path.write_bytes(dicom(np.stack([picture(number) for number in range(frames)]), **STUDY))
    return path


@pytest.fixture
def written(tmp_path, source, masks):
    write_segmentation(tmp_path / "x_mask.dcm", source, masks, "nerve", MODEL)
    return tmp_path / "x_mask.dcm"


def test_highdicom_finds_the_mask_of_each_frame(written, source, masks, frames):
    read = highdicom.seg.segread(written)
    instance = pydicom.dcmread(source).SOPInstanceUID
    options = {"combine_segments": True, "ignore_spatial_locations": True}
    if frames == 1:
        found = read.get_pixels_by_source_instance([instance], **options)
    else:
        found = read.get_pixels_by_source_frame(instance, range(1, frames + 1), **options)
    assert np.array_equal(found, np.stack(masks))


def test_it_stands_in_the_study_of_its_source_and_refers_to_it(written, source):
    found, of = pydicom.dcmread(written), pydicom.dcmread(source)
    for keyword in (
        "PatientID",
        "PatientName",
        "PatientBirthDate",
        "PatientSex",
        "StudyInstanceUID",
        "AccessionNumber",
    ):
        assert found[keyword].value == of[keyword].value
    assert found.SeriesInstanceUID != of.SeriesInstanceUID
    (series,) = found.ReferencedSeriesSequence
    (instance,) = series.ReferencedInstanceSequence
    assert series.SeriesInstanceUID == of.SeriesInstanceUID
    assert (instance.ReferencedSOPInstanceUID, instance.ReferencedSOPClassUID) == (of.SOPInstanceUID, of.SOPClassUID)


def test_its_segment_is_a_nerve_that_an_algorithm_found(written):
    (segment,) = pydicom.dcmread(written).SegmentSequence
    (kind,) = segment.SegmentedPropertyTypeCodeSequence
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("nerve", "AUTOMATIC")
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("3057000", "SCT")


def test_check_reads_the_masks_back(written, source, masks):
    found = read_masks(written, (), read_header(source))
    assert np.array_equal(np.stack([one.mask for one in found]), np.stack(masks))
    assert "names another file" not in found[0].remark


def test_a_validator_finds_nothing_wrong(written):
    """Skipped where dicom3tools is not installed, unless REQUIRE_DICOM3TOOLS is set, as `.ci/run` does."""
    if not shutil.which("dciodvfy") and not os.environ.get("REQUIRE_DICOM3TOOLS"):
        pytest.skip("dicom3tools is not installed")
    told = subprocess.run(["dciodvfy", str(written)], check=False, capture_output=True, text=True).stderr
    assert told.splitlines() == ["Segmentation"]


def test_a_model_gives_a_file_the_same_numbers_again_and_another_model_other_ones(tmp_path, written, source, masks):
    for name, model in (("again", MODEL), ("other", "cd" * 32)):
        write_segmentation(tmp_path / f"{name}.dcm", source, masks, "nerve", model)
    numbers = [
        pydicom.dcmread(path).SOPInstanceUID for path in (written, tmp_path / "again.dcm", tmp_path / "other.dcm")
    ]
    assert numbers[0] == numbers[1] != numbers[2]


def test_frames_without_a_nerve_at_all_give_a_file_with_one_empty_mask(tmp_path, source, masks, frames):
    write_segmentation(tmp_path / "empty.dcm", source, [np.zeros_like(mask) for mask in masks], "nerve", MODEL)
    found = pydicom.dcmread(tmp_path / "empty.dcm")
    assert found.NumberOfFrames == 1
    assert not found.pixel_array.any()
    assert len(read_masks(tmp_path / "empty.dcm", (), read_header(source))) == frames


def test_a_source_without_the_numbers_of_a_study_is_refused(tmp_path, masks, frames):
    path = tmp_path / "bare.dcm"
    path.write_bytes(dicom(np.stack([picture(number) for number in range(frames)])))
    with pytest.raises(
        BadFileError, match=r"bare\.dcm: it has no StudyInstanceUID, so nothing can refer to it; use another --format"
    ):
        write_segmentation(tmp_path / "x_mask.dcm", path, masks, "nerve", MODEL)
    assert not (tmp_path / "x_mask.dcm").exists()
