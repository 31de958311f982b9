"""Makes the rounds that training cycles through, from the train records, into `data/augmented/`.

Each `round-*.tfrecord` holds every train frame once, in an order of its own: as itself in one round, as one of its
`augment.variants` variants in each of the others. `data/augmented.png` shows some of them. DVC caches both, so an
experiment that changes only the learning rate pays nothing for augmentation.
"""

from pathlib import Path

from nerveseg.augmentation.rounds import in_round, write_rounds
from nerveseg.dataset.records import DatasetInfo, Record, read_records, shards
from nerveseg.files.atomic import fresh_folder
from nerveseg.params import Params, load_params
from nerveseg.processes.stage import stage_process, undisturbed
from nerveseg.reporting.figures.pictures import montage
from nerveseg.tracking.mirror import stage_run

SOURCE = Path("data/processed")
OUTPUT = Path("data/augmented")
PREVIEW = Path("data/augmented.png")


def augment() -> None:
    params = load_params()
    with fresh_folder(OUTPUT) as folder, stage_run("augment", params) as run, undisturbed("augment", params):
        info = DatasetInfo.read(SOURCE)
        train = list(read_records(shards(SOURCE, "train"), info))
        rounds = params.augment.variants + 1
        write_rounds(folder, train, params.augment, params.seed, rounds)
        _preview(train, params, PREVIEW)
        run.log_artifact(PREVIEW)
        print(f"{rounds} rounds of {len(train)} train frames")


def _preview(train: list[Record], params: Params, path: Path) -> None:
    """A row for each of a few subjects: a frame with a nerve, then its variants."""
    rounds = params.augment.variants + 1
    columns = min(rounds, 6)
    with_nerve = {record.subject: index for index, record in enumerate(train) if record.mask.any()}
    shown = list(with_nerve.values())[:: max(1, len(with_nerve) // 4)][:4]
    variants = [
        (index, in_round(train[index], index, (step - index) % rounds, params.augment, params.seed))
        for index in shown
        for step in range(columns)
    ]
    titles = [record.name if i % columns == 0 else f"variant {i % columns}" for i, (_, record) in enumerate(variants)]
    frames = [record.frame for _, record in variants]
    montage(frames, [record.mask > 127 for _, record in variants], titles, columns, path, params.visualize.dpi)


if __name__ == "__main__":
    with stage_process():
        augment()
