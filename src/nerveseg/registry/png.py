"""Fast PNG of smooth maps and masks, for the server's answers.

OpenCV and Pillow try all of PNG's filters on each row. For maps that are smooth from row to row, the difference to the row above is
nearly always the best one. Using it without a trial takes less than half the time, and the file is as small.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _UP = 0, 2  # a colour type and a filter type of ISO/IEC 15948
_FASTEST, _WINDOW, _MEMORY = 1, 15, 9


def grey_png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Return the PNG file of grey levels, uint8 or uint16 (height, width)."""
    height, width = pixels.shape
    depth = 8 * pixels.dtype.itemsize
    levels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
    rows = np.empty((height, 1 + levels.shape[1]), np.uint8)
    rows[:, 0] = _UP
    rows[0, 1:] = levels[0]
    np.subtract(levels[1:], levels[:-1], out=rows[1:, 1:])
    packer = zlib.compressobj(_FASTEST, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, depth, _GREY, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", packer.compress(rows.tobytes()) + packer.flush()), (b"IEND", b"")]
    return _SIGNATURE + b"".join(_chunk(*each) for each in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
