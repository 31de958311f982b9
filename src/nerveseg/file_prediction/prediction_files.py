"""Predictions as files: of each frame a mask and an overlay, of each cine loop a film, and a table of all.

A source, which is an image or a DICOM loop, is done as a whole: once its files stand, its rows go into a journal beside them.
Files are written by threads while the next frames are predicted, which keeps all cores busy.
A run that was interrupted and is started again with the same model finds there what is done of sources that did not change
since, and goes on with the others; at the end the journal makes room for `predictions.csv`. No file is replaced but one that
`predict` wrote (`user_folder`).
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from nerveseg.dataset.mask_encoding import encode_rle
from nerveseg.errors import BadFileError, DatasetError
from nerveseg.file_prediction.journal import Journal, Row, Writing, state_of
from nerveseg.file_prediction.sources import Source, Sources
from nerveseg.file_prediction.temporal_smoothing import predict_loop
from nerveseg.files.atomic import only_writer, write_csv
from nerveseg.files.user_folder import Written
from nerveseg.imaging.arrays import Frame, Mask
from nerveseg.imaging.dicom import is_dicom, read_header
from nerveseg.imaging.frame_files import fault_of, grey_range_of, read_frames, write_image
from nerveseg.imaging.grey_range import GreyRange
from nerveseg.imaging.video import open_video, read_video
from nerveseg.inference.predictor import Prediction, Predictor
from nerveseg.preprocessing.listing import VIDEO, kind_of
from nerveseg.text.foreign_text import on_one_line
from nerveseg.text.wording import counted, some

COLUMNS = ["file", "frame", "presence", "confidence", "area", "centroid_row", "centroid_column", "pixels"]
TABLE, SUBMISSION, JOURNAL = "predictions.csv", "submission.csv", ".predictions.jsonl"
VERMILLION = (213, 94, 0)  # red, green, blue: predictions have this colour in the report, too
CONTOUR, LEVELS = 255, 255  # index of the contour's colour in the palette of a film; grey levels before it
BLANK = "shows a frame of one level, or one that is mostly white, so that its mask means nothing"
FRAME_TIME = 50.0  # milliseconds, of loops that do not say theirs


def check_outputs(sources: Sources, output: Path, *, kaggle: bool) -> None:
    """Refuse, before any network runs, what would go wrong at the end or destroy what is there.

    Raises:
        DatasetError: a file would be replaced that `predict` did not write, or that was changed since, or a submission is
            asked for of what are no numbered images.
    """
    if kaggle:
        _check_numbers(sources.found)
    names = [name for source in sources.found for name in source.files] + [TABLE] + [SUBMISSION] * kaggle
    if foreign := Written(output).foreign(names):
        raise DatasetError(
            f"{output / foreign[0]} is there already and is not as `nerveseg predict` left it, so it is not replaced"
            + (f" ({len(foreign) - 1:,} more such files are there)" if foreign[1:] else "")
            + "; choose another folder for --out, or move it away"
        )


def write_predictions(
    sources: Sources, output: Path, predictor: Predictor, identity: str, grey_range: GreyRange, *, kaggle: bool = False
) -> tuple[int, int]:
    """Segment images and loops into the folder `output`.

    Writes for each frame `NAME_mask.png`, 0 and 255 at the frame's size, and `NAME_overlay.png`; for each loop of several
    frames `NAME.gif`, the overlays at the loop's speed, where the frames are called `NAME_1`, `NAME_2` and so on; and
    `predictions.csv` with the columns `COLUMNS`: frames are counted from 1, area and centroid are in pixels, the centroid
    empty where there is no mask, and `pixels` is Kaggle's run-length encoding.

    Args:
        sources: what to segment.
        output: made where it does not exist.
        predictor: what predicts.
        identity: of the predictor, the same only for an equal one.
        grey_range: black and white of files that do not say them; what it leaves open is decided over all sources.
        kaggle: write `submission.csv` of Kaggle's 2016 challenge as well.

    Returns:
        How many frames were segmented, and how many files could not be read. Each of these is named on stderr.

    Raises:
        DatasetError: as for `check_outputs`, or the folder cannot be made.
        BusyError: another process writes into it.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{output} cannot be made ({error.strerror}); choose another folder for --out") from None
    with only_writer(output):
        return _write(sources, output, predictor, identity, grey_range, kaggle=kaggle)


def _write(
    sources: Sources, output: Path, predictor: Predictor, identity: str, grey_range: GreyRange, *, kaggle: bool
) -> tuple[int, int]:
    check_outputs(sources, output, kaggle=kaggle)
    images = (source.path for source in sources.found if kind_of(source.path) != VIDEO)
    grey_range = grey_range_of(images, grey_range)
    written, journal = Written(output), Journal(output / JOURNAL, f"{identity} {grey_range}")
    for item in sources.unusable:
        print(f"skipped: {on_one_line(f'{item.path}: {item.reason}; {item.remedy}')}", file=sys.stderr)
    failed, remarks = len(sources.unusable), defaultdict[str, list[Path]](list)
    with Writing(journal) as writing, tqdm(sources.found, desc="predicting", unit="file") as progress:
        for source in progress:
            if (rows := journal.rows(source.path)) is not None and all(map(written.owns, source.files)):
                writing.rows[source.path] = rows
                continue
            try:
                state = state_of(source.path)
                rows, told, files = _predicted(source, grey_range, written, predictor, writing.threads)
            except DatasetError as error:
                progress.write(f"skipped: {on_one_line(error)}", file=sys.stderr)
                failed += 1
            else:
                writing.add(source.path, state, rows, files)
                for remark in told:
                    remarks[remark].append(source.path)
    for reason in writing.failed.values():
        print(f"skipped: {on_one_line(reason)}", file=sys.stderr)
    for remark, paths in remarks.items():
        print(f"{counted(len(paths), 'file')}: {remark} ({on_one_line(some(paths, 3))})", file=sys.stderr)
    done = [row for source in sources.found for row in writing.rows.get(source.path, [])]
    table = pd.DataFrame(done, columns=COLUMNS)
    with written.new(TABLE) as path:
        write_csv(path, table)
    if kaggle:
        submission = pd.DataFrame({"img": [int(Path(file).stem) for file in table["file"]], "pixels": table["pixels"]})
        with written.new(SUBMISSION) as path:
            write_csv(path, submission.sort_values("img"))
    written.close()
    journal.remove()
    return len(table), failed + len(writing.failed)


def _predicted(
    source: Source, grey_range: GreyRange, written: Written, predictor: Predictor, threads: Executor
) -> tuple[list[Row], list[str], list[Future[None]]]:
    """The rows of a source, remarks on its frames, and the files of it that threads are writing."""
    frames, told, frame_time = read_loop_of(source.path, grey_range)
    if len(frames) != source.frames:
        now = f"{counted(len(frames), 'frame')}, where {source.frames:,} were counted before"
        raise BadFileError(source.path, now, "wait until it is written to its end, and run the command again")
    remarks = [told, BLANK if any(map(fault_of, frames)) else ""]
    rows, masks, files = [], [], []
    for number, found in enumerate(predict_loop(predictor, [*frames]), start=1):
        rows.append(_row(source.path, number, found))
        masks.append(found.mask)
    if len(frames) > 1:  # first, since it takes longest and is written by one thread
        files.append(
            threads.submit(_write_film, written, f"{source.name}.gif", frames, masks, frame_time or FRAME_TIME)
        )
    for stem, frame, mask in zip(source.stems, frames, masks, strict=True):
        files.append(threads.submit(_write_frame, written, stem, frame, mask))
    return rows, [*filter(None, remarks)], files


def read_loop_of(path: Path, grey_range: GreyRange) -> tuple[NDArray[np.uint8], str, float | None]:
    """The frames of an image, of a DICOM loop or of a video, uint8 (N, H, W); a remark on what was made of their grey levels,
    '' for nothing; and milliseconds from one to the next, None where the file does not say.

    Raises:
        BadFileError: the file cannot be read.
    """
    if kind_of(path) == VIDEO:
        return read_video(path), "", open_video(path)[1]
    frames, remark = read_frames(path, grey_range)
    return frames, remark, read_header(path).frame_time if is_dicom(path) else None


def _write_frame(written: Written, stem: str, frame: Frame, mask: Mask) -> None:
    for kind, pixels in (("mask", mask), ("overlay", overlay(frame, mask))):
        with written.new(f"{stem}_{kind}.png") as path:
            write_image(path, pixels)


def _write_film(
    written: Written, name: str, frames: NDArray[np.uint8], masks: Sequence[Mask], frame_time: float
) -> None:
    with written.new(name) as path:
        write_film(path, frames, masks, frame_time)


def _row(path: Path, number: int, found: Prediction) -> Row:
    centroid = found.centroid or ("", "")
    values = (
        on_one_line(path),
        number,
        found.presence,
        found.confidence,
        found.area,
        *centroid,
        encode_rle(found.mask),
    )
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
        path: of the file.
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
    pages[0].save(
        path, "GIF", save_all=True, append_images=pages[1:], duration=max(20.0, frame_time), loop=0, optimize=False
    )


def _check_numbers(sources: Sequence[Source]) -> None:
    numbered: dict[int, Path] = {}
    for source in sources:
        if not source.path.stem.isdecimal() or source.frames > 1:
            raise DatasetError(
                f"{source.path}: a submission to Kaggle names images by their number, 1.tif and so on; leave --kaggle out for others"
            )
        if (other := numbered.setdefault(int(source.path.stem), source.path)) != source.path:
            raise DatasetError(
                f"{other} and {source.path} have one number, which a submission may name once; remove one"
            )
