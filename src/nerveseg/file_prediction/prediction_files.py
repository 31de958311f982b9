"""Write predictions as files: the masks in one of several formats (`mask_formats`), and a table.

A source (an image or a loop) is finished as a whole: once its files are written, its rows go into a journal in the output folder.
Threads write files while the next frames are predicted. If a run is interrupted, the next run with the same model skips finished
sources that did not change. At the end `predictions.csv` replaces the journal. Only files that `predict` wrote are ever replaced
(`user_folder`).
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from nerveseg.dataset.mask_encoding import decode_rle, encode_rle
from nerveseg.errors import BadFileError, DatasetError
from nerveseg.file_prediction.journal import Journal, Row, Writing, state_of
from nerveseg.file_prediction.mask_formats import NERVE, Segmented, jobs
from nerveseg.file_prediction.sources import Source, Sources
from nerveseg.file_prediction.temporal_smoothing import predict_loop
from nerveseg.files.atomic import only_writer, write_csv
from nerveseg.files.user_folder import Written
from nerveseg.imaging.arrays import Spacing
from nerveseg.imaging.dicom import is_dicom, read_header
from nerveseg.imaging.frame_files import fault_of, grey_range_of, read_frames
from nerveseg.imaging.grey_range import GreyRange
from nerveseg.imaging.nifti import read_volume
from nerveseg.imaging.video import open_video, read_video
from nerveseg.inference.predictor import Predictor
from nerveseg.preprocessing.listing import NIFTI, VIDEO, kind_of
from nerveseg.processes.stage import output_around
from nerveseg.text.foreign_text import on_one_line
from nerveseg.text.wording import counted, some

COLUMNS = ["file", "frame", "presence", "confidence", "area", "centroid_row", "centroid_column", "pixels"]
STEM, SIZE = "stem", "size"  # of a frame's files, without what they end in; height and width: in the journal only
TABLE, SUBMISSION, JOURNAL = "predictions.csv", "submission.csv", ".predictions.jsonl"
BLANK = "shows a frame of one level, or one that is mostly white, so that its mask means nothing"
FEW_LEVELS, FEW_TOLD = 3, "has at most three grey levels, as a mask; if it is one, leave it out"


class Model(NamedTuple):
    """A predictor and its digest: those of equal `identity` give equal predictions."""

    predictor: Predictor
    identity: str


class Done(NamedTuple):
    """How many frames were segmented, how many of them got a nerve, and how many files failed."""

    frames: int
    with_nerve: int
    failed: int

    def __str__(self) -> str:
        skipped = f", {counted(self.failed, 'file')} skipped" if self.failed else ""
        return f"{self.with_nerve:,} with a nerve, {self.frames - self.with_nerve:,} without{skipped}"


def check_outputs(sources: Sources, output: Path, *, kaggle: bool) -> None:
    """Raise DatasetError, before any network runs, for what would fail at the end, or destroy a file."""
    if lost := output_around(output):
        raise DatasetError(f"the pipeline replaces {lost} with all files in it; choose another folder for --out")
    if kaggle:
        _check_numbers(sources.found)
    made = [(name, source.path) for source in sources.found for name in source.files]
    written = Written(output)
    if foreign := written.foreign([name for name, _ in made] + [TABLE, *sources.files_of_run] + [SUBMISSION] * kaggle):
        more = f" ({len(foreign) - 1:,} more such files are there)" if foreign[1:] else ""
        raise DatasetError(
            f"{output / foreign[0]} is there already and is not as `nerveseg predict` left it, so it is not replaced{more}; "
            "choose another folder for --out, or move it away"
        )
    for name, path in made:
        if other := written.of_another(name, path):
            what = f"{output / name} shows the prediction of {other}, which that of {path} would replace"
            raise DatasetError(f"{what}; choose another folder for --out")


def write_predictions(
    sources: Sources, output: Path, predictor: Predictor, identity: str, grey_range: GreyRange, *, kaggle: bool = False
) -> Done:
    """Segment images and loops into the folder `output`; return how many.

    The masks come in the format of `sources`, frames called as `Source.stems` says. `predictions.csv` has the columns
    `COLUMNS`: frames count from 1, presence and confidence have four decimals, area and centroid are in pixels, the
    centroid is empty without a mask, and `pixels` is Kaggle's run-length encoding. With `kaggle` there is
    `submission.csv` of Kaggle's 2016 challenge as well. Failed files are named on stderr.

    Predictors of equal `identity` give equal predictions. All sources together decide what `grey_range` leaves open.
    Raise DatasetError as `check_outputs` or if the folder cannot be made, BusyError if another process writes to it.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{output} cannot be created ({error.strerror}); choose another folder for --out") from None
    with only_writer(output):
        check_outputs(sources, output, kaggle=kaggle)
        images = (source.path for source in sources.found if kind_of(source.path) != VIDEO)
        grey_range = grey_range_of(images, grey_range)
        written, journal = Written(output), Journal(output / JOURNAL, f"{identity} {grey_range}")
        rows, failed = _predict_all(sources, Model(predictor, identity), grey_range, written, journal)
        table = pd.DataFrame(rows, columns=COLUMNS)
        tables = {TABLE: table}
        if kaggle:
            numbers = [int(Path(file).stem) for file in table["file"]]
            tables[SUBMISSION] = pd.DataFrame({"img": numbers, "pixels": table["pixels"]}).sort_values("img")
        for name, each in tables.items():
            with written.new(name) as path:
                write_csv(path, each)
        for name, write in sources.files_of_run.items():
            with written.new(name) as path:
                write(path, ((f"{row[STEM]}.png", decode_rle(row["pixels"], row[SIZE])) for row in rows), NERVE)
        written.close()
        journal.remove()
    return Done(len(table), int((table["area"] > 0).sum()), failed)


def _predict_all(
    sources: Sources, model: Model, grey_range: GreyRange, written: Written, journal: Journal
) -> tuple[list[Row], int]:
    """Return the rows of all frames that were segmented, and the number of files that failed."""
    for item in sources.unusable:
        print(f"skipped: {on_one_line(f'{item.file}: {item.reason}; {item.remedy}')}", file=sys.stderr)
    remarks = defaultdict[str, list[Path]](list)
    with Writing(journal) as writing, tqdm(sources.found, desc="predicting", unit="file") as progress:
        for source in progress:
            path, state = source.path, state_of(source.path)
            if (rows := journal.rows(path)) is not None and all(map(written.owns, source.files)):
                writing.rows[path] = rows
                continue
            try:
                rows, told, files = _predicted(source, grey_range, written, model, writing.threads)
            except BadFileError as error:
                writing.failed[path] = error
                continue
            writing.add(path, state, rows, files)
            for remark in told:
                remarks[remark].append(path)
    for reason in writing.failed.values():
        print(f"skipped: {on_one_line(reason)}", file=sys.stderr)
    for remark, paths in remarks.items():
        print(f"{counted(len(paths), 'file')}: {remark} ({on_one_line(some(paths, 3))})", file=sys.stderr)
    rows = [row for source in sources.found for row in writing.rows.get(source.path, [])]
    return rows, len(sources.unusable) + len(writing.failed)


def _predicted(
    source: Source, grey_range: GreyRange, written: Written, model: Model, threads: Executor
) -> tuple[list[Row], list[str], list[Future[None]]]:
    """Return the rows of a source, remarks on its frames, and the files that threads are writing."""
    frames, told, spacing, frame_time = _read(source.path, grey_range)
    if len(frames) != source.frames:
        now = f"{counted(len(frames), 'frame')}, where {source.frames:,} were counted before"
        raise BadFileError(source.path, now, "wait until it is written to its end, and run the command again")
    few = any(np.count_nonzero(np.bincount(frame.ravel())) <= FEW_LEVELS for frame in frames)
    remarks = [told, BLANK if any(map(fault_of, frames)) else FEW_TOLD if few else ""]
    rows, masks = [], []
    for number, (stem, found) in enumerate(
        zip(source.stems, predict_loop(model.predictor, [*frames]), strict=True), start=1
    ):
        centroid = [round(place, 2) for place in found.centroid] if found.centroid else ("", "")
        values = (round(found.presence, 4), round(found.confidence, 4), found.area, *centroid, encode_rle(found.mask))
        row = dict(zip(COLUMNS, (on_one_line(source.path), number, *values), strict=True))
        rows.append(row | {STEM: stem, SIZE: list(found.mask.shape)})
        masks.append(found.mask)
    segmented = Segmented(source.path, source.name, source.stems, frames, masks, spacing, frame_time, model.identity)
    files = [threads.submit(job) for job in jobs(segmented, source.mask_format, written)]
    return rows, [*filter(None, remarks)], files


def _read(path: Path, grey_range: GreyRange) -> tuple[NDArray[np.uint8], str, Spacing | None, float | None]:
    """Return frames, uint8 (N, H, W), a remark on them or '', and what the file says of spacing and of milliseconds between them."""
    if kind_of(path) == VIDEO:
        remarks: list[str] = []
        return read_video(path, remarks.append), "".join(remarks), None, open_video(path)[1]
    frames, remark = read_frames(path, grey_range)
    if kind_of(path) == NIFTI:
        return frames, remark, read_volume(path).spacing, None
    if not is_dicom(path):
        return frames, remark, None, None
    header = read_header(path)
    return frames, remark, header.spacing, header.frame_time


def _check_numbers(sources: Sequence[Source]) -> None:
    numbered: dict[int, Path] = {}
    for source in sources:
        if not source.path.stem.isdecimal() or source.frames > 1:
            what = f"{source.path}: a submission to Kaggle names images by their number, 1.tif and so on"
            raise DatasetError(f"{what}; leave --kaggle out for others")
        if (other := numbered.setdefault(int(source.path.stem), source.path)) != source.path:
            what = f"{other} and {source.path} have one number, which a submission may name once"
            raise DatasetError(f"{what}; remove one")
