"""Reading and writing one frame or one mask, and the geometry between a frame and the network's input.

A frame is uint8 of shape (H, W), grey levels 0..255. A mask is bool of shape (H, W). Files may be TIFF, PNG,
JPEG or BMP (OpenCV) or single-frame DICOM (tensorflow-io), 8 or 16 bits, grey or colour.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.errors import DatasetError

Frame = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Size = tuple[int, ...]  # (height, width), as `shape` gives it

IMAGE_SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp"})
DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
cv2.setNumThreads(1)  # stages parallelise over frames; OpenCV's own threads would only compete with them


def read_frame(path: Path) -> Frame:
    """Read one frame as 8-bit grey; 16-bit frames are scaled from 0..65535.

    Raises:
        DatasetError: the file is missing, empty, not an image, or holds several frames.
    """
    pixels = _decode_dicom(path) if path.suffix.lower() in DICOM_SUFFIXES else _decode_image(path)
    if pixels.dtype == np.uint16:
        return np.round(pixels.astype(np.float64) / 257.0).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise DatasetError(f"{path}: pixels are {pixels.dtype}, expected 8- or 16-bit integers; convert the file")
    return pixels.astype(np.uint8, copy=False)


def read_mask(path: Path) -> Mask:
    """Read one mask; every value but zero is nerve, in any of the colours.

    Raises:
        DatasetError: as for `read_frame`; or a JPEG, whose compression leaves values around the nerve.
    """
    if path.suffix.lower() in {".jpg", ".jpeg"}:
        raise DatasetError(f"{path}: a mask as JPEG, whose compression blurs it; export it as PNG or TIFF")
    values = _decode(path)
    return (values[..., :3].any(axis=-1) if values.ndim == 3 else values) != 0


def write_image(path: Path, pixels: Frame | Mask) -> None:
    """Write a frame, or a mask as 0 and 255, in the format that the suffix names; the file appears only when whole."""
    values = np.multiply(pixels, 255, dtype=np.uint8) if pixels.dtype == np.bool_ else pixels
    encoded, content = cv2.imencode(path.suffix, values)
    if not encoded:
        raise DatasetError(f"{path}: OpenCV cannot write {path.suffix} files; use .png or .tif")
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(content.tobytes())
    partial.replace(path)


def _decode_image(path: Path) -> NDArray[np.generic]:
    pixels = _decode(path)
    return cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2GRAY) if pixels.ndim == 3 else pixels


def _decode(path: Path) -> NDArray[np.generic]:
    content = _bytes_of(path)
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DatasetError(f"{path}: cannot be decoded ({error.err}); export it again as TIFF or PNG") from None
    if pixels is None:
        raise DatasetError(f"{path}: {len(content)} bytes that are not an image; expected TIFF, PNG, JPEG or BMP")
    return pixels


def _decode_dicom(path: Path) -> NDArray[np.generic]:
    import tensorflow as tf
    import tensorflow_io as tfio

    content = _bytes_of(path)
    try:
        frames = tfio.image.decode_dicom_image(content, color_dim=False, scale="auto", dtype=tf.uint8).numpy()
    except tf.errors.OpError as error:
        raise DatasetError(f"{path}: not a readable DICOM image ({error.message})") from None
    if frames.ndim != 4:
        raise DatasetError(f"{path}: {len(content)} bytes that are not a DICOM image; export it again")
    if frames.shape[0] != 1:
        raise DatasetError(f"{path}: a loop of {len(frames)} frames, expected a single frame; export the frames singly")
    return frames[0, ..., 0]


def _bytes_of(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from None
    if not content:
        raise DatasetError(f"{path}: the file is empty; copy it again from its source")
    return content


@dataclass(frozen=True)
class Letterbox:
    """How a frame of any size lies in the network's input: scaled to fit, centred, the rest padded.

    `scaled` is the (height, width) of the frame inside the input, `top` and `left` its offset in pixels.
    """

    source: Size
    target: Size
    scaled: tuple[int, int]
    top: int
    left: int

    @classmethod
    def fit(cls, source: Size, target: Size) -> Self:
        scale = min(target[0] / source[0], target[1] / source[1])
        scaled = (max(1, round(source[0] * scale)), max(1, round(source[1] * scale)))
        return cls(source, target, scaled, (target[0] - scaled[0]) // 2, (target[1] - scaled[1]) // 2)

    def frame(self, frame: Frame) -> Frame:
        """(H, W) uint8 -> target size; the padding mirrors the frame, so that no hard edge appears."""
        return self._pad(self._resize(frame, cv2.INTER_AREA), cv2.BORDER_REFLECT_101)

    def mask(self, mask: Mask) -> Frame:
        """(H, W) bool -> target size, uint8 0..255: the share of each pixel that the mask covers."""
        return self._pad(self._resize(np.multiply(mask, 255, dtype=np.uint8), cv2.INTER_AREA), cv2.BORDER_CONSTANT)

    def restore(self, probability: NDArray[np.float32]) -> NDArray[np.float32]:
        """A map over the input, float32 of the target size -> the same over the frame, (H, W)."""
        inner = probability[self.top : self.top + self.scaled[0], self.left : self.left + self.scaled[1]]
        shrinks = self.scaled[0] > self.source[0]
        size = (self.source[1], self.source[0])
        return cv2.resize(inner, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)

    def _resize(self, pixels: Frame, interpolation: int) -> Frame:
        if self.scaled[0] > self.source[0]:  # INTER_AREA enlarges like nearest neighbour
            interpolation = cv2.INTER_LINEAR
        return cv2.resize(pixels, (self.scaled[1], self.scaled[0]), interpolation=interpolation)

    def _pad(self, pixels: Frame, border: int) -> Frame:
        bottom = self.target[0] - self.scaled[0] - self.top
        right = self.target[1] - self.scaled[1] - self.left
        return cv2.copyMakeBorder(pixels, self.top, bottom, self.left, right, border, value=0)


def encode_rle(mask: Mask) -> str:
    """Run-length encoding of Kaggle's 2016 challenge: `start length` pairs, column-major, from 1; empty: ''."""
    flat = np.concatenate([[False], mask.T.ravel(), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    return " ".join(f"{start} {end - start}" for start, end in zip(starts, ends, strict=True))


def decode_rle(code: str, shape: tuple[int, int]) -> Mask:
    """The mask, bool of `shape` (H, W), that `encode_rle` wrote.

    Raises:
        DatasetError: an odd number of values, a value that is no number, or a run outside of the frame.
    """
    try:
        values = np.array(code.split(), dtype=np.int64)
    except ValueError:
        raise DatasetError(f"run-length code {code[:40]!r} holds a value that is not a whole number") from None
    if len(values) % 2:
        raise DatasetError(f"run-length code has {len(values)} values, expected pairs of start and length")
    starts, lengths = values[::2] - 1, values[1::2]
    size = shape[0] * shape[1]
    if (starts < 0).any() or (lengths < 1).any() or (starts + lengths > size).any():
        raise DatasetError(f"run-length code leaves the frame of {shape[0]} x {shape[1]} pixels")
    flat = np.zeros(size, np.bool_)
    for start, length in zip(starts, lengths, strict=True):
        flat[start : start + length] = True
    return flat.reshape(shape[1], shape[0]).T
