"""A simulated data set of B-mode frames of the neck, in the layout of Kaggle's 2016 challenge.

Each subject has one anatomy (`anatomy`), made of layers and organs (`tissue`). Each of its frames is one plane of a
probe's sweep along the neck, scanned by a convolution model of ultrasound (`acoustics`). The nerve is in the plane on one
stretch of the sweep; in the other frames, more than half, the mask is empty. Look-alikes have stretches of their own.

Frames are uint8 (height, width), masks bool of the same shape. Subjects and frames are counted from 1. A frame depends
on (seed, subject, frame) and the parameters alone, not on other frames or the number of processes.
"""

from pathlib import Path

import cv2
import numpy as np
from joblib import delayed
from numpy.typing import NDArray
from tqdm import tqdm

from nerveseg.errors import DatasetError
from nerveseg.imaging.arrays import Frame, Mask
from nerveseg.imaging.simulated import is_simulated, write_simulated
from nerveseg.params.data import PhantomParams
from nerveseg.phantom.acoustics import Grid, Scanner, echo_envelope
from nerveseg.phantom.anatomy import Anatomy, Pose
from nerveseg.phantom.display import add_marker, compress
from nerveseg.phantom.nerve import Hand
from nerveseg.processes.parallel import SHORT, processes

# The nerve's contrast in the first and last plane that show it, and in the planes just beyond. The fade is short and far
# from the label's threshold on both sides, since a network learns nothing from a label that no reader could confirm.
FIRST_SEEN, JUST_LOST = 0.9, 0.1


class Subject:
    """One simulated person: an anatomy, and the frames `first` to `last` of the sweep that show the nerve."""

    def __init__(self, seed: int, number: int, params: PhantomParams) -> None:
        if number < 1:
            raise DatasetError(f"phantom subject {number} does not exist; subjects are counted from 1")
        self.seed, self.number, self.params = seed, number, params
        rng = np.random.default_rng(np.random.SeedSequence([seed, number, 0]))
        frames = params.frames_per_subject
        shown = int(np.floor(params.nerve_fraction * frames + rng.uniform()))
        shown = min(max(shown, 1), max((frames - 1) // 2, 1))
        self.first = int(rng.integers(1, frames - shown + 2))
        self.last = self.first + shown - 1
        self.anatomy, self.hand = Anatomy(rng, Grid.of(params.width, params.height)), Hand.draw(rng)

    def shows_nerve(self, frame: int) -> bool:
        return self.first <= frame <= self.last

    def frame(self, frame: int) -> tuple[Frame, Mask]:
        """Return a frame and its mask, empty if the nerve is out of plane; DatasetError if there is no such frame."""
        params, grid = self.params, self.anatomy.grid
        if not 1 <= frame <= params.frames_per_subject:
            raise DatasetError(f"phantom frame {frame} does not exist; subjects have 1 to {params.frames_per_subject}")
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, self.number, frame]))
        pose = self._draw_pose(rng, frame)
        tissue, nerve = self.anatomy.plane(pose, self._visibility(frame))
        tissue.attenuation[0] += _draw_contact_loss(rng, grid)
        scanner = Scanner(focus=rng.uniform(12.0, 20.0), gain=rng.normal(7.8, 1.2), slope=rng.normal(-0.22, 0.06))
        image = compress(echo_envelope(tissue, grid, scanner, rng), scanner, params.width)
        add_marker(image)
        if not self.shows_nerve(frame):
            return image, np.zeros(image.shape, np.bool_)
        outline = np.full(grid.shape, np.float32(9.0))
        outline[nerve.window] = self.hand.outline(nerve, self.anatomy.nerve.at(pose.sweep, pose.shift, 1.0), rng)
        distance = cv2.resize(outline, image.shape[::-1], interpolation=cv2.INTER_LINEAR)
        return image, distance < 0.0

    def _visibility(self, frame: int) -> float:
        beyond = max(self.first - frame, frame - self.last)  # below 0 between the first and the last plane
        return {0: FIRST_SEEN, 1: JUST_LOST}.get(beyond, float(beyond < 0))

    def _draw_pose(self, rng: np.random.Generator, frame: int) -> Pose:
        sweep = (frame - 0.5) / self.params.frames_per_subject
        return Pose(sweep, shift=rng.normal(0, 0.5), tilt=rng.normal(0.0, 0.025), squeeze=float(rng.uniform(0.6, 1.1)))


def write_phantom(directory: Path, params: PhantomParams, seed: int, workers: int) -> tuple[int, int]:
    """Write `S_N.tif` and `S_N_mask.tif` (0 and 255) of all subjects, and return the number of frames and of nerves."""
    directory.mkdir(parents=True, exist_ok=True)
    write = delayed(_write_subject)
    tasks = (write(directory, params, seed, number) for number in range(1, params.subjects + 1))
    written = processes(workers, return_as="generator")(tasks)
    nerves = sum(tqdm(written, total=params.subjects, desc="simulating", unit="subject", delay=SHORT))
    return params.subjects * params.frames_per_subject, nerves


def foreign_files(directory: Path) -> list[Path]:
    """Return the files that `write_phantom` did not write; a mask is known by its frame. Those of file managers do not count."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_symlink() or not path.is_dir())
    frames = {path: path.with_name(path.name.replace("_mask.tif", ".tif")) for path in files}
    foreign = [path for path, frame in frames.items() if not (frame.is_file() and is_simulated(frame))]
    return [path for path in foreign if path.name[0] != "." and path.name not in ("Thumbs.db", "desktop.ini")]


def _write_subject(directory: Path, params: PhantomParams, seed: int, number: int) -> int:
    packed = [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_PACKBITS]
    subject, nerves = Subject(seed, number, params), 0
    for frame in range(1, params.frames_per_subject + 1):
        image, mask = subject.frame(frame)
        write_simulated(directory / f"{number}_{frame}.tif", image)
        path = directory / f"{number}_{frame}_mask.tif"
        if not cv2.imwrite(str(path), np.uint8(255) * mask, packed):
            raise DatasetError(f"{path} could not be written; check the free space and the folder's permissions")
        nerves += int(mask.any())
    return nerves


def _draw_contact_loss(rng: np.random.Generator, grid: Grid) -> NDArray[np.float32]:
    """Return the loss per mm in the first row, for each line: an air gap or a hair under the probe casts a shadow."""
    loss = np.zeros(grid.shape[1], np.float32)
    if rng.uniform() < 0.25:
        centre, width = rng.uniform(0.0, grid.width_mm), rng.uniform(1.5, 5.0)
        loss += rng.uniform(4.0, 14.0) * np.exp(-np.square((grid.lateral[0] - np.float32(centre)) / np.float32(width)))
    return loss / np.float32(grid.pitch[0])
