"""Make the rounds that training cycles through, from the train records, into `data/augmented/`.

Each `round-*.tfrecord` holds every train frame once, in an order of its own: unchanged in one round, as one of its
`augment.variants` variants in each of the others. DVC caches them for experiments that change the training alone.
"""

from pathlib import Path

from nerveseg.augmentation.rounds import write_rounds
from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.records import read_records
from nerveseg.files.atomic import fresh_folder
from nerveseg.params.file import load_params
from nerveseg.processes.stage import stage_process, undisturbed

SOURCE, OUTPUT = Path("data/processed"), Path("data/augmented")


def augment() -> None:
    params = load_params()
    with fresh_folder(OUTPUT) as folder, undisturbed("augment", params):
        train = list(read_records(shards(SOURCE, "train"), DatasetInfo.read(SOURCE)))
        rounds = params.augment.variants + 1
        write_rounds(folder, train, params.augment, params.seed, rounds)
        print(f"{rounds} rounds of {len(train)} train frames")


if __name__ == "__main__":
    with stage_process():
        augment()
