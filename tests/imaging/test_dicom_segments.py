"""DICOM segmentations, written as PS3.3 (section A.51) says: a bit a pixel, a mask for each segment and frame."""

import numpy as np
import pytest
from pydicom import Dataset

from nerveseg.errors import BadFileError
from nerveseg.imaging.dicom import read_header
from nerveseg.imaging.frame_files import read_frames
from nerveseg.imaging.mask_files import read_masks
from odd_files import dicom, item, segmentation

NERVE, ARTERY = np.zeros((2, 24, 33), np.uint8)
NERVE[4:12, 3:14], ARTERY[14:20, 20:30] = 1, 1


@pytest.fixture
def masks(tmp_path):
    def read(content, *labels, frames=1):
        path = tmp_path / "x_mask.dcm"
        path.write_bytes(content)
        loop = tmp_path / "x.dcm"
        loop.write_bytes(dicom(np.zeros((frames, *NERVE.shape), np.uint8), SOPInstanceUID="1.2.3"))
        return read_masks(path, labels, read_header(loop))

    return read


def test_a_mask_belongs_to_the_frame_and_the_segment_that_it_names_in_whatever_order(masks):
    content = segmentation([ARTERY, NERVE[::-1], NERVE, ARTERY], [2, 1, 1, 2], [2, 3, 1, 1])
    found = masks(content, 1, frames=3)
    assert [one.mask.tolist() for one in found] == [
        (NERVE > 0).tolist(),
        (NERVE > 1).tolist(),
        (NERVE[::-1] > 0).tolist(),
    ]
    assert [one.areas for one in found] == [{1: 88, 2: 60}, {2: 60}, {1: 88}]
    assert {one.remark for one in found} == {"a DICOM segmentation: 1 is 'nerve', 2 is 'artery'"}


def test_a_segment_may_be_chosen_by_its_name_whatever_its_number(masks):
    content = segmentation([NERVE, ARTERY], [1, 2], [1, 1])
    for name in ("Artery", " artery"):
        (found,) = masks(content, name)
        assert np.array_equal(found.mask, ARTERY > 0)
        assert found.areas == {1: 88, name: 60}
    (found,) = masks(content, "vein")
    assert not found.mask.any()
    (both,) = masks(content, 1, "artery")
    assert np.array_equal(both.mask, (NERVE | ARTERY) > 0)


def test_empty_masks_may_be_left_out_also_behind_the_last_one(masks):
    found = masks(segmentation([NERVE, NERVE], [1, 1], [4, 2], ["nerve"]), frames=6)
    assert [bool(one.mask.any()) for one in found] == [False, True, False, True, False, False]


def test_masks_of_a_single_frame_need_not_name_it(masks):
    (found,) = masks(segmentation([NERVE, ARTERY], [1, 2], [None, None]), 2)
    assert np.array_equal(found.mask, ARTERY > 0)


def test_a_segment_that_all_masks_share_is_named_once(masks):
    shared = [item(SegmentIdentificationSequence=[item(ReferencedSegmentNumber=2)])]
    content = segmentation([NERVE, NERVE], [None, None], [2, 1], SharedFunctionalGroupsSequence=shared)
    assert [one.areas for one in masks(content, frames=2)] == [{2: 88}, {2: 88}]


def test_of_probabilities_those_above_one_half_are_marked(masks):
    eight = {
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "MaximumFractionalValue": 100,
        "SegmentationType": "FRACTIONAL",
    }
    levels = np.where(NERVE, 90, 40).astype(np.uint8)
    (found,) = masks(segmentation([levels], [1], [1], PixelData=levels.tobytes(), **eight))
    assert np.array_equal(found.mask, NERVE > 0)


def test_a_map_of_labels_holds_the_numbers_of_segments(masks):
    eight = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "SegmentationType": "LABELMAP"}
    labels = np.stack([2 * NERVE, NERVE + 2 * ARTERY])
    found = masks(segmentation(labels, [None] * 2, [2, 1], PixelData=labels.tobytes(), **eight), 2, frames=2)
    assert [one.areas for one in found] == [{1: 88, 2: 60}, {2: 88}]


@pytest.mark.parametrize(
    ("named", "told"), [([], False), (["1.2.3"], False), (["1.2.4", "1.2.3"], False), (["1.2.4"], True)]
)
def test_a_segmentation_that_names_another_file_than_its_frame_is_remarked(masks, named, told):
    sources = [item(ReferencedSOPInstanceUID=uid) for uid in named]
    content = segmentation([NERVE], [1], [1], ReferencedSeriesSequence=[item(ReferencedInstanceSequence=sources)])
    assert ("; it names another file than its frame" in masks(content)[0].remark) == told


@pytest.mark.parametrize(
    ("content", "frames", "reason"),
    [
        (segmentation([NERVE], [1], [None]), 4, "a mask in it does not name exactly one frame"),
        (segmentation([NERVE, NERVE], [1, 1], [None, None]), 2, "a mask in it does not name exactly one frame"),
        (segmentation([NERVE, NERVE], [1, 1], [1, None]), 2, "a mask in it does not name exactly one frame"),
        (segmentation([NERVE], [1], [[1, 2]]), 2, "a mask in it does not name exactly one frame"),
        (segmentation([NERVE], [1], [10**8]), 2, "it names a frame 100,000,000"),
        (segmentation([NERVE, ARTERY], [1, 1], [2, 2]), 2, "several masks of one frame and segment"),
        (segmentation([NERVE], [3], [1]), 1, "an unknown segment"),
        (segmentation([NERVE], [None], [1]), 1, "an unknown segment"),
        (segmentation([NERVE, NERVE[::-1] | NERVE], [1, 2], [1, 1]), 1, "its segments overlap"),
        (segmentation([NERVE], [1], [1], SegmentSequence=[Dataset()]), 1, "segments cannot be read .AttributeError."),
    ],
)
def test_masks_that_do_not_say_where_they_belong_are_refused(masks, content, frames, reason):
    with pytest.raises(BadFileError, match=f"a DICOM segmentation.*{reason}.*; export"):
        masks(content, frames=frames)


def test_a_segmentation_is_no_frame(tmp_path):
    path = tmp_path / "x.dcm"
    path.write_bytes(segmentation([NERVE], [1], [1]))
    with pytest.raises(BadFileError, match="a DICOM segmentation, expected a frame"):
        read_frames(path)
