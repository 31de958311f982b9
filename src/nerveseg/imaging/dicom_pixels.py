"""Pixels of DICOM files as a viewer shows them, with palette, Modality LUT, VOI LUT, window and inversion applied.

pydicom decodes uncompressed pixels, JPEG, JPEG 2000 and RLE. tensorflow-io, which loads TensorFlow, decodes lossless JPEG and
JPEG-LS. Other kinds, and all that `read_header` refuses, raise `BadFileError`.
"""

import io
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nerveseg.errors import BadFileError
from nerveseg.imaging.dicom import Header, read_header
from nerveseg.imaging.dicom_segments import labels_of
from nerveseg.imaging.grey_range import LUMA, Stored
from nerveseg.imaging.image_files import bytes_of, refused_if_damaged
from nerveseg.imaging.page import check_scans

if TYPE_CHECKING:
    import pydicom

DARK_IS_HIGH, PALETTE = "MONOCHROME1", "PALETTE COLOR"  # photometric interpretations (PS3.3, section C.7.6.3)
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")  # pydicom returns these as RGB
REMEDY = "export it uncompressed, as MONOCHROME2 or RGB"


def read_loop(path: Path) -> Stored:
    """Read the frames of a file: grey levels or colours."""
    found, pixels, bits = _decoded(path)
    if "SegmentSequence" in found:
        raise BadFileError(path, "a DICOM segmentation, expected a frame", "name it as the mask of its frame")
    black_white = None if pixels.dtype.kind == "i" or bits == 16 else (0.0, 2.0**bits - 1)
    with refused_if_damaged(path, "its palette, LUT or window cannot be applied", REMEDY):
        if pixels.ndim == 4:
            return Stored(pixels, black_white)
        if found.PhotometricInterpretation == PALETTE:
            return _coloured(pixels, found)
        if black_white is None:
            pixels = _without_padding(pixels, found)
        return _shown(Stored(pixels, black_white), found, bits)


def read_labels(path: Path, loop: Header | None = None) -> tuple[NDArray[np.uint16], dict[int, str], str]:
    """Read the stored levels of a grey DICOM file, (N, H, W), inverted if the highest is shown black.

    Of a segmentation of `loop`, the levels are the numbers of its segments. Their names and a remark are returned too.
    Colours, levels below 0, and unclear segmentations raise `BadFileError`.
    """
    found, pixels, bits = _decoded(path)
    if pixels.ndim == 4:
        raise BadFileError(path, "a mask in colour as DICOM", "export masks as PNG or TIFF")
    if pixels.min() < 0:
        raise BadFileError(path, "labels below 0", "export masks as PNG or TIFF")
    if "SegmentSequence" in found:
        what = "a DICOM segmentation whose segments cannot be read"
        with refused_if_damaged(path, what, "export masks as PNG or TIFF"):
            return labels_of(path, found, pixels, loop)
    labels = pixels.astype(np.uint16)
    return (np.uint16(2**bits - 1) - labels if found.PhotometricInterpretation == DARK_IS_HIGH else labels), {}, ""


def _decoded(path: Path) -> tuple["pydicom.Dataset", NDArray[Any], int]:
    """Return the file, its stored pixels (N, H, W) or (N, H, W, 3), and the number of bits of a level."""
    import pydicom

    content = bytes_of(path)
    header = read_header(path, content)
    check_scans(path, content, header.frames)
    with refused_if_damaged(path, "no readable DICOM image", "export it again"):
        found = pydicom.dcmread(io.BytesIO(content))
        kind = str(found.PhotometricInterpretation)
        _take_from_groups(path, found)
    if kind not in (*COLOURS, DARK_IS_HIGH, "MONOCHROME2", PALETTE):
        raise BadFileError(path, f"its photometric interpretation is {kind[:20]!r}, which is not read", REMEDY)
    pixels = _by_pydicom(path, found, header)
    if pixels is None:
        pixels = _by_tensorflow_io(path, content, found, header)
    frames = (header.frames, header.height, header.width)
    if pixels.size not in (np.prod(frames), 3 * np.prod(frames)) or pixels.dtype.kind not in "ui":
        shape = "x".join(map(str, pixels.shape))
        what = f"its pixels decode to {pixels.dtype} of {shape}, but its header announces {header!r}"
        raise BadFileError(path, what, REMEDY)
    if (pixels.size == np.prod(frames)) == (kind in COLOURS):
        raise BadFileError(path, f"it calls itself {kind}, but its pixels are not", REMEDY)
    return found, pixels.reshape(frames if kind not in COLOURS else (*frames, 3)), header.bits


def _by_pydicom(path: Path, found: "pydicom.Dataset", header: Header) -> NDArray[Any] | None:
    """Decode the pixels; None if pydicom cannot."""
    from pydicom.pixels import get_decoder

    damaged = refused_if_damaged(path, "its pixels cannot be decoded", "export it uncompressed")
    with damaged, suppress(NotImplementedError):  # an unknown compression
        syntax = found.file_meta.TransferSyntaxUID
        if syntax.is_compressed and not get_decoder(syntax).is_available:
            return None
        high = int(found.get("HighBit", header.bits - 1))
        if syntax.is_compressed or high == header.bits - 1:
            return found.pixel_array
        found.pixel_array_options(correct_unused_bits=False)
        pixels = found.pixel_array
        lowest, above = high + 1 - header.bits, 8 * pixels.dtype.itemsize - 1 - high
        if min(lowest, above) < 0:
            raise ValueError(high)
        return (pixels << above) >> (above + lowest)  # bits outside these may hold anything
    return None


def _by_tensorflow_io(path: Path, content: bytes, found: "pydicom.Dataset", header: Header) -> NDArray[Any]:
    """Decode the pixels. Files with a palette or LUT are refused, since tensorflow-io applies these in its own way."""
    kind = str(found.PhotometricInterpretation)
    if kind == PALETTE or found.get("PixelRepresentation") or _changes_levels(found):
        what = f"{kind} in a compression that is not read, with a palette, a LUT, a window or signs"
        raise BadFileError(path, what, REMEDY)
    try:
        import tensorflow as tf
        import tensorflow_io as tfio
    except ImportError:  # a served model installs only what it needs
        what = "pixels in a form that only tensorflow-io decodes, which is not installed"
        raise BadFileError(path, what, "export it uncompressed, or install nerveseg's extra `train`") from None
    try:
        pixels = tfio.image.decode_dicom_image(content, color_dim=False, scale="preserve", dtype=tf.uint16).numpy()
    except tf.errors.OpError as error:
        raise BadFileError(path, f"its pixels cannot be decoded ({error.message})", "export it uncompressed") from None
    return np.uint16(2**header.bits - 1) - pixels if kind == DARK_IS_HIGH else pixels


def _coloured(pixels: NDArray[Any], found: "pydicom.Dataset") -> Stored:
    """Return the luminance of palette colours."""
    from pydicom.pixels import apply_color_lut

    entries = np.arange(int(pixels.max()) + 1, dtype=pixels.dtype)
    colours = apply_color_lut(entries[np.newaxis], found)[0]
    bits = 8 if colours.max() < 256 else 16  # 8-bit entries may be announced as 16-bit
    levels = np.round(colours[..., :3] @ LUMA * (255.0 / (2**bits - 1))).astype(np.uint8)
    return Stored(levels[pixels], (0.0, 255.0), remarks=("palette colours, taken by their luminance",))


def _without_padding(pixels: NDArray[Any], found: "pydicom.Dataset") -> NDArray[Any]:
    """Return padding above all other levels, which would set the scale, as black."""
    padding = pixels == found.get("PixelPaddingValue")
    levels = pixels[~padding]
    if not padding.any() or not levels.size or pixels.max() == levels.max():
        return pixels
    return np.where(padding, levels.max() if found.PhotometricInterpretation == DARK_IS_HIGH else levels.min(), pixels)


def _shown(stored: Stored, found: "pydicom.Dataset", bits: int) -> Stored:
    """Apply Modality LUT and VOI LUT or window. A slope alone changes nothing unless it is negative."""
    from pydicom.pixels import apply_modality_lut, apply_voi

    inverted = found.PhotometricInterpretation == DARK_IS_HIGH or found.get("PresentationLUTShape") == "INVERSE"
    stored = replace(stored, inverted=inverted)
    if not _changes_levels(found):
        return stored
    lowest = -(2 ** (bits - 1)) if stored.values.dtype.kind == "i" else 0
    levels = np.arange(lowest, lowest + 2**bits)
    values, remark = apply_modality_lut(levels, found), ""
    window = _window(found)
    if tables := found.get("VOILUTSequence"):
        share = apply_voi(values.astype(np.int64), found) / (2.0 ** int(tables[0].LUTDescriptor[2]) - 1)
        remark = "its VOI LUT applied"
    elif window:
        share = _windowed(values, *window)
        remark = f"shown through its window, centre {window[1]:g}, width {window[2]:g}"
    elif tables := found.get("ModalityLUTSequence"):
        share, remark = values / (2.0 ** int(tables[0].LUTDescriptor[2]) - 1), "its Modality LUT applied"
    else:
        return replace(stored, inverted=inverted != (float(found.RescaleSlope) < 0))
    share = np.clip(share, 0.0, 1.0)
    if stored.black_white and np.abs(share - levels / stored.black_white[1]).max() <= 1.5 / 255:
        return stored  # a window over all levels, as many machines write
    table = np.round(255.0 * share).astype(np.uint8)
    return Stored(np.roll(table, lowest)[stored.values], (0.0, 255.0), inverted, (remark,))


def _take_from_groups(path: Path, found: "pydicom.Dataset") -> None:
    """Give an enhanced file, as a whole, the slope and window of its frames."""
    shared, frames = (list(found.get(f"{kind}FunctionalGroupsSequence") or []) for kind in ("Shared", "PerFrame"))
    for name, key in (("PixelValueTransformationSequence", "RescaleSlope"), ("FrameVOILUTSequence", "WindowWidth")):
        of_frames = [next(iter(frame.get(name) or []), None) for frame in frames]
        if any(one != of_frames[0] for one in of_frames):
            raise BadFileError(path, "frames that differ in window or slope", "export its frames with one window")
        items = [next(iter(group.get(name) or []), None) for group in shared] + of_frames[:1]
        if (item := next(filter(None, items), None)) and not found.get(key):
            found.update(item)


def _changes_levels(found: "pydicom.Dataset") -> bool:
    names = ("ModalityLUTSequence", "VOILUTSequence")
    slope = found.get("RescaleSlope")
    return any(found.get(name) for name in names) or _window(found) is not None or (slope is not None and slope < 0)


def _window(found: "pydicom.Dataset") -> tuple[str, float, float] | None:
    """Return function, centre and width of the first window."""
    if not found.get("WindowWidth") or found.get("WindowCenter") in (None, ""):
        return None
    centre, width = (np.ravel(np.asarray(found[key].value, np.float64))[0] for key in ("WindowCenter", "WindowWidth"))
    return str(found.get("VOILUTFunction") or "LINEAR"), float(centre), float(width)


def _windowed(values: NDArray[Any], function: str, centre: float, width: float) -> NDArray[np.float64]:
    """Return shares of white (PS3.3, sections C.11.2.1.2 and C.11.2.1.3)."""
    if width < (1.0 if function == "LINEAR" else 0.0):
        raise ValueError(width)
    if function == "LINEAR":
        return (values - (centre - 0.5)) / max(width - 1.0, 1e-6) + 0.5
    if function == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    if function == "SIGMOID":
        return 0.5 + 0.5 * np.tanh(2.0 * (values - centre) / width)  # the logistic function without overflow
    raise ValueError(function)
