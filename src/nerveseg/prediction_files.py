"""Predictions as files: of each frame a mask and an overlay, of each cine loop a film, and a table of all.

A source, which is an image or a DICOM loop, is done as a whole: once its files stand, its rows go into a journal beside them.
Files are written by threads while the next frames are predicted, which keeps all cores busy.
A run that was interrupted and is started again with the same model finds there what is done of sources that did not change
since, and goes on with the others; at the end the journal makes room for `predictions.csv`.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from nerveseg.data.dicom import is_dicom, read_header
from nerveseg.data.frames import FRAME_SUFFIXES, read_frames, write_image
from nerveseg.data.layouts import natural_key
from nerveseg.data.letterbox import Frame, Mask
from nerveseg.data.mask_codes import encode_rle
from nerveseg.errors import DatasetError
from nerveseg.foreign_text import on_one_line
from nerveseg.outputs import write_csv
from nerveseg.prediction_journal import Journal, Row, Writing
from nerveseg.predictor import Prediction, Predictor

COLUMNS = ["file", "frame", "presence", "confidence", "area", "centroid_row", "centroid_column", "pixels"]
JOURNAL = ".predictions.jsonl"
VERMILLION = (213, 94, 0)  # red, green, blue: predictions have this colour in the report, too
CONTOUR, LEVELS = 255, 255  # index of the contour's colour in the palette of a film; grey levels before it
FRAME_TIME = 50.0  # milliseconds, of loops that do not say theirs


def write_predictions(
    paths: Sequence[Path], output: Path, predictor: Predictor, identity: str, *, kaggle: bool = False
) -> tuple[int, int]:
    """Segment images and DICOM loops, or all of them in folders, into the folder `output`.

    Writes for each frame `NAME_mask.png`, 0 and 255 at the frame's size, and `NAME_overlay.png`; for each loop of several
    frames `NAME.gif`, the overlays at the loop's speed, where the frames are called `NAME_1`, `NAME_2` and so on; and
    `predictions.csv` with the columns `COLUMNS`: frames are counted from 1, area and centroid are in pixels, the centroid
    empty where there is no mask, and `pixels` is Kaggle's run-length encoding.

    Args:
        paths: files and folders; of a folder the files in it whose suffix is an image's or DICOM's, but for masks.
        output: made where it does not exist.
        predictor: what predicts.
        identity: of the predictor, the same only for an equal one.
        kaggle: write `submission.csv` of Kaggle's 2016 challenge as well.

    Returns:
        How many frames were segmented, and how many files could not be read. Each of these is named on stderr.

    Raises:
        DatasetError: there is no image, two would write the same files, the folder cannot be made, or a name is no number
            where a submission needs one.
    """
    sources = _sources(paths)
    if kaggle and (odd := next((path for path in sources if not path.stem.isdecimal()), None)):
        raise DatasetError(
            f"{odd}: a submission to Kaggle names images by their number, 1.tif and so on; leave --kaggle out for others"
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{output} cannot be made ({error.strerror}); choose another folder for --out") from None
    journal = Journal(output / JOURNAL, identity)
    failed = 0
    todo = [path for path in sources if not journal.knows(path)]
    with Writing(journal) as writing, tqdm(todo, desc="predicting", unit="file") as progress:
        for path in progress:
            try:
                writing.add(path, *_predicted(path, output, predictor, writing.threads))
            except DatasetError as error:
                progress.write(f"skipped: {on_one_line(error)}", file=sys.stderr)
                failed += 1
    table = pd.DataFrame([row for path in sources for row in journal.rows(path)], columns=COLUMNS)
    write_csv(output / "predictions.csv", table)
    if kaggle:
        submission = pd.DataFrame({"img": [int(Path(file).stem) for file in table["file"]], "pixels": table["pixels"]})
        write_csv(output / "submission.csv", submission.sort_values("img"))
    journal.remove()
    return len(table), failed


def _predicted(
    path: Path, output: Path, predictor: Predictor, threads: Executor
) -> tuple[list[Row], list[Future[None]]]:
    """The rows of a source, and the files of it that threads are writing."""
    frames, _ = read_frames(path)
    rows, masks, files = [], [], []
    for number, found in enumerate(predictor.predict_loop([*frames]), start=1):
        rows.append(_row(path, number, found))
        masks.append(found.mask)
    if len(frames) > 1:  # first, since it takes longest and is written by one thread
        files.append(threads.submit(write_film, output / f"{path.stem}.gif", frames, masks, _frame_time(path)))
    for number, (frame, mask) in enumerate(zip(frames, masks, strict=True), start=1):
        name = f"{path.stem}_{number}" if len(frames) > 1 else path.stem
        files.append(threads.submit(_write_frame, output / name, frame, mask))
    return rows, files


def _write_frame(stem: Path, frame: Frame, mask: Mask) -> None:
    write_image(stem.with_name(f"{stem.name}_mask.png"), mask)
    write_image(stem.with_name(f"{stem.name}_overlay.png"), overlay(frame, mask))


def _row(path: Path, number: int, found: Prediction) -> Row:
    centroid = found.centroid or ("", "")
    values = (str(path), number, found.presence, found.confidence, found.area, *centroid, encode_rle(found.mask))
    return dict(zip(COLUMNS, values, strict=True))


def overlay(frame: Frame, mask: Mask) -> NDArray[np.uint8]:
    """The frame with the outline of the mask, uint8 (H, W, 3) in the order that OpenCV writes: blue, green, red."""
    coloured = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
    coloured[contour(mask)] = VERMILLION[::-1]
    return coloured


def contour(mask: Mask) -> Mask:
    """The pixels of a mask's outline, about as thick as a two-hundredth of its height, and at least one pixel."""
    thickness = max(1, round(mask.shape[0] / 200))
    outlines, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    drawn = cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, 1, thickness)
    return drawn.astype(np.bool_)


def write_film(
    path: Path, frames: Sequence[Frame] | NDArray[np.uint8], masks: Sequence[Mask], frame_time: float
) -> None:
    """An animation in GIF without loss but for the brightest grey level, which the contour's colour takes the place of.

    Args:
        path: of the file, which appears only when it is whole.
        frames: uint8 (H, W) each.
        masks: of the frames.
        frame_time: milliseconds from one frame to the next; GIF knows hundredths of a second.
    """
    palette = [level for grey in range(LEVELS) for level in (grey, grey, grey)] + list(VERMILLION)
    pages = []
    for frame, mask in zip(frames, masks, strict=True):
        page = Image.fromarray(np.where(contour(mask), CONTOUR, np.minimum(frame, LEVELS - 1)).astype(np.uint8), "P")
        page.putpalette(palette)
        pages.append(page)
    partial = path.with_name(f".{path.name}.part")
    pages[0].save(
        partial, "GIF", save_all=True, append_images=pages[1:], duration=max(20.0, frame_time), loop=0, optimize=False
    )
    partial.replace(path)


def _frame_time(path: Path) -> float:
    return (read_header(path).frame_time if is_dicom(path) else None) or FRAME_TIME


def _sources(paths: Sequence[Path]) -> list[Path]:
    found = [source for path in paths for source in _inside(path)]
    if not found:
        raise DatasetError(
            f"no image in {', '.join(map(str, paths))}; name files or folders of TIFF, PNG, JPEG, BMP or DICOM"
        )
    stems = Counter(path.stem for path in found)
    if twice := [stem for stem, count in stems.items() if count > 1]:
        raise DatasetError(
            f"several images are called {twice[0]}, and would overwrite each other's mask; predict them apart"
        )
    return found


def _inside(path: Path) -> Iterator[Path]:
    """A file itself, and the images and DICOM files in a folder, but for masks."""
    if not path.is_dir():
        yield path
        return
    for item in sorted(path.iterdir(), key=lambda item: natural_key(item.name)):
        image = item.suffix.lower() in FRAME_SUFFIXES - {""} or (not item.suffix and is_dicom(item))
        if item.is_file() and image and "_mask" not in item.stem:
            yield item
