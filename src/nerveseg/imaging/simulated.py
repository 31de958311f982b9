"""The mark that the stage `phantom` leaves in its frames, by which they are known wherever they are copied or linked to."""

from pathlib import Path

from PIL import Image

from nerveseg.imaging.arrays import Frame

SOFTWARE = 305  # the tag of TIFF that says what made a file
MARK = "nerveseg phantom: simulated"
START = 1024  # bytes; Pillow writes tags before pixels


def write_simulated(path: Path, frame: Frame) -> None:
    """Write a frame as TIFF, uncompressed: speckle hardly compresses and costs time to try."""
    Image.fromarray(frame).save(path, "TIFF", tiffinfo={SOFTWARE: MARK})


def is_simulated(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK.encode() in file.read(START)
