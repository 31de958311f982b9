"""The mark that the stage `phantom` leaves in its frames, so that they are recognised wherever they are copied."""

from pathlib import Path

from PIL import Image

from nerveseg.imaging.arrays import Frame

SOFTWARE = 305  # the TIFF tag for the software that made a file
MARK = "nerveseg phantom: simulated"
START = 1024  # bytes; Pillow writes tags before pixels


def write_simulated(path: Path, frame: Frame) -> None:
    """Write a frame as uncompressed TIFF, since speckle hardly compresses."""
    Image.fromarray(frame).save(path, "TIFF", tiffinfo={SOFTWARE: MARK})


def is_simulated(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK.encode() in file.read(START)
