"""Volumes of masks, read by ITK, which 3D Slicer and ITK-SNAP are built on."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its usual name
from PIL import Image

from nerveseg.imaging.nifti import write_nifti


@pytest.fixture
def masks():
    return list(np.random.default_rng(0).random((3, 20, 30)) > 0.7)


def test_itk_reads_the_masks_frame_by_frame(tmp_path, masks):
    write_nifti(tmp_path / "x.nii.gz", masks, (0.25, 0.5))
    volume = sitk.ReadImage(str(tmp_path / "x.nii.gz"))
    assert np.array_equal(sitk.GetArrayFromImage(volume), np.stack(masks))
    assert volume.GetSpacing() == pytest.approx((0.5, 0.25, 1.0))


def test_the_volume_lies_where_itk_puts_the_frame_itself(tmp_path, masks):
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "x.png")
    write_nifti(tmp_path / "x.nii.gz", masks[:1], None)
    volume, frame = (sitk.ReadImage(str(tmp_path / name)) for name in ("x.nii.gz", "x.png"))
    corners = [(0, 0), (29, 19), (10, 5)]
    for corner in corners:
        place = volume.TransformIndexToPhysicalPoint((*corner, 0))
        assert place[:2] == pytest.approx(frame.TransformIndexToPhysicalPoint(corner))
