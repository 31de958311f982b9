"""What `preprocess` and `augment` leave, of a few drawn frames."""

from pathlib import Path

from drawn_frames import kaggle_frames
from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.records import read_records, write_records
from nerveseg.params.file import Params
from nerveseg.preprocessing.packing import prepare_dataset


def small_data(folder: Path, params: Params) -> tuple[list[Path], list[Path], DatasetInfo]:
    """Two rounds and the val shards of a small data set."""
    processed = folder / "processed"
    processed.mkdir()
    source = params.data.model_copy(update={"dir": str(kaggle_frames(folder / "frames", frames=6))})
    _, info = prepare_dataset(processed, source, params.split, params.preprocess, params.seed, folder)
    train = list(read_records(shards(processed, "train"), info))
    rounds = [folder / f"round-{number}.tfrecord" for number in range(2)]
    for path in rounds:
        write_records([path], (record.serialise() for record in train))
    return rounds, shards(processed, "val"), info
