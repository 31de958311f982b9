"""Files as messy collections hold them, each made on the spot."""

import io
import struct
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SIZE = (48, 80)


def picture(seed=0, size=SIZE):
    """A frame with texture, uint8."""
    coarse = np.random.default_rng(seed).integers(20, 200, (6, 10)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


def blob(size=SIZE, value=255):
    """A mask with a nerve of 9 x 16 pixels, uint8."""
    mask = np.zeros(size, np.uint8)
    mask[20:29, 30:46] = value
    return mask


def encoded(pixels, kind="TIFF", **options):
    """The bytes of an image file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def paged(frames):
    """A TIFF of several pages."""
    first, *others = [Image.fromarray(frame) for frame in frames]
    return encoded(first, save_all=True, append_images=others)


def palette(indices, colours):
    """A palette PNG: uint8 indices into a list of (r, g, b)."""
    image = Image.fromarray(indices, "P")
    image.putpalette([channel for colour in colours for channel in colour])
    return encoded(image, "PNG")


def tiff_claiming(width, height):
    """A TIFF header that announces a size, with hardly any pixels behind it."""
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
            (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, 4)]  # fmt: skip
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + b"\0" * 4
    return b"II*\0" + struct.pack("<I", 12) + b"\1\2\3\4" + directory


def dicom(frames, patient="MRN-4711", name="DOE^JANE", syntax=ExplicitVRLittleEndian, **attributes):
    """A DICOM as an ultrasound machine exports it; `frames` is uint8 or uint16 (N, H, W), or (N, H, W, 3)."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(frames.shape), patient])
    meta.TransferSyntaxUID = syntax
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PhotometricInterpretation = "US", "MONOCHROME2"
    dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = patient, name, "19700101"
    bits = 8 * frames.dtype.itemsize
    dataset.SamplesPerPixel, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, bits, bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.NumberOfFrames = len(frames)
    dataset.Rows, dataset.Columns = frames.shape[1:3]
    dataset.PixelData = frames.tobytes()
    for key, value in attributes.items():
        setattr(dataset, key, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def flip_a_bit(path: Path) -> None:
    """In the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def item(**attributes):
    found = pydicom.Dataset()
    for key, value in attributes.items():
        setattr(found, key, value)
    return found


def segmentation(masks, segments, frames, names=("nerve", "artery"), **attributes):
    """A file of masks, each of a segment (None: it names none) and a frame or list of frames (None: likewise)."""
    groups = []
    for segment, frame in zip(segments, frames, strict=True):
        group = pydicom.Dataset()
        if segment:
            group.SegmentIdentificationSequence = [item(ReferencedSegmentNumber=segment)]
        source = item(ReferencedFrameNumber=frame) if frame else pydicom.Dataset()
        group.DerivationImageSequence = [item(SourceImageSequence=[source])]
        groups.append(group)
    packed = np.packbits(np.stack(masks).ravel(), bitorder="little").tobytes()
    options = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "PixelData": packed + b"\0" * (len(packed) % 2)}
    options |= {"SegmentationType": "BINARY", "PerFrameFunctionalGroupsSequence": groups}
    options["SegmentSequence"] = [item(SegmentNumber=n, SegmentLabel=name) for n, name in enumerate(names, start=1)]
    return dicom(np.stack(masks), **(options | attributes))
