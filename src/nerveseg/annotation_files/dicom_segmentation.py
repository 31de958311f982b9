"""DICOM segmentations (PS3.3, section A.51): masks of the frames of a DICOM file, in its study and with references to it.

highdicom writes all but what differs between frames: it takes loops only if they have coordinates in space, which ultrasound has not.
Frames of the file are a stack in time. Those without a mask are left out, as the standard allows.
"""

import copy
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nerveseg.errors import BadFileError
from nerveseg.imaging.arrays import Mask

if TYPE_CHECKING:
    import pydicom

SERIES = 9100  # its number beside those of the machine
# What SNOMED CT calls a structure.
_CODES = {
    "nerve": ("3057000", "Nerve"),
    "artery": ("51114001", "Artery"),
    "vein": ("29092000", "Vein"),
    "vessel": ("59820001", "Blood vessel"),
}
# Of patient and study. Files without them are common, though the standard wants them (type 2).
_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber",
    "ReferringPhysicianName",
)  # fmt: skip
_STRUCTURE = ("123037004", "SCT", "Anatomical Structure")


def write_segmentation(path: Path, source: Path, masks: Sequence[Mask], label: str, model: str) -> None:
    """Write the masks of all frames of `source`, in order. `model` is the digest of what predicted them.

    A source without what a reference to it needs raises `BadFileError`.
    """
    import pydicom
    from pydicom.pixels import pack_bits

    found = pydicom.dcmread(source, stop_before_pixels=True)
    for keyword in ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if not found.get(keyword):
            raise BadFileError(
                source, f"it has no {keyword}, so nothing can refer to it", "use another --format for it"
            )
    loop = int(found.get("NumberOfFrames") or 1) > 1
    segmentation = _of_one_frame(found, masks[0], label, model)
    for element in segmentation.iterall():
        if element.keyword == "ReferencedSOPClassUID":
            element.value = found.SOPClassUID
    first = segmentation.PerFrameFunctionalGroupsSequence[0]
    kept = [number for number, mask in enumerate(masks, start=1) if mask.any()] or [1]
    segmentation.PerFrameFunctionalGroupsSequence = [_group(first, number, loop=loop) for number in kept]
    segmentation.NumberOfFrames = len(kept)
    segmentation.PixelData = pack_bits(np.stack([masks[number - 1] for number in kept]).astype(np.uint8))
    segmentation.DimensionIndexSequence = [
        _dimension(segmentation, "SegmentIdentificationSequence", "ReferencedSegmentNumber"),
        _dimension(segmentation, "FrameContentSequence", "InStackPositionNumber"),
    ]
    segmentation.PatientOrientation = found.get("PatientOrientation") or None  # must be there, and may be empty
    segmentation.save_as(path)


def _of_one_frame(source: "pydicom.Dataset", mask: Mask, label: str, model: str) -> "pydicom.Dataset":
    """Return a segmentation of a frame of the source, with a mask that marks something."""
    import highdicom as hd
    from pydicom.sr.codedict import codes
    from pydicom.uid import UltrasoundImageStorage, generate_uid

    single = copy.deepcopy(source)
    single.SOPClassUID = UltrasoundImageStorage
    for keyword in ("NumberOfFrames", "FrameOfReferenceUID"):
        single.pop(keyword, None)
    for keyword in _MAY_BE_EMPTY:
        setattr(single, keyword, single.get(keyword))
    number, meaning = _CODES.get(label, (label[:16], label))
    described = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=label,
        segmented_property_category=hd.sr.CodedConcept(*_STRUCTURE),
        segmented_property_type=hd.sr.CodedConcept(number, "SCT" if label in _CODES else "99NERVESEG", meaning),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            "nerveseg", codes.DCM.ArtificialIntelligence, version("nerveseg")
        ),
    )
    warnings.filterwarnings("ignore", module="highdicom")  # on patients' names
    return hd.seg.Segmentation(
        source_images=[single],
        pixel_array=np.ones((1, *mask.shape), np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[described],
        series_instance_uid=generate_uid(entropy_srcs=[str(source.StudyInstanceUID), model]),
        series_number=SERIES,
        sop_instance_uid=generate_uid(entropy_srcs=[str(source.SOPInstanceUID), model]),
        instance_number=int(source.get("InstanceNumber") or 1),
        manufacturer="nerveseg",
        manufacturer_model_name="nerveseg",
        software_versions=version("nerveseg"),
        device_serial_number=model[:16],
        content_label=label.upper()[:16],
        series_description="predictions of nerveseg",
    )


def _group(first: "pydicom.Dataset", number: int, *, loop: bool) -> "pydicom.Dataset":
    """Return the functional groups of the mask of a frame, whose number counts from 1."""
    group = copy.deepcopy(first)
    if loop:
        group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = number
    content = group.FrameContentSequence[0]
    content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", number, [1, number]
    return group


def _dimension(segmentation: "pydicom.Dataset", group: str, index: str) -> "pydicom.Dataset":
    import pydicom
    from pydicom.datadict import tag_for_keyword

    item = pydicom.Dataset()
    item.DimensionOrganizationUID = segmentation.DimensionOrganizationSequence[0].DimensionOrganizationUID
    item.FunctionalGroupPointer, item.DimensionIndexPointer = tag_for_keyword(group), tag_for_keyword(index)
    item.DimensionDescriptionLabel = index
    return item
