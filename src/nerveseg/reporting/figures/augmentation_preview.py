"""Train frames beside some of their variants."""

from collections.abc import Sequence
from pathlib import Path

from nerveseg.augmentation.rounds import in_round
from nerveseg.dataset.records import Record
from nerveseg.params.data import AugmentParams
from nerveseg.reporting.figures.pictures import montage


def augmentation_preview(train: Sequence[Record], params: AugmentParams, seed: int, path: Path, dpi: int) -> None:
    """Draw a row for each of a few subjects: a frame with a nerve, then its variants."""
    rounds = params.variants + 1
    columns = min(rounds, 6)
    with_nerve = {record.subject: index for index, record in enumerate(train) if record.mask.any()}
    shown = list(with_nerve.values())[:: max(1, len(with_nerve) // 4)][:4]
    variants = [
        (index, in_round(train[index], index, (step - index) % rounds, params, seed))
        for index in shown
        for step in range(columns)
    ]
    titles = [record.name if i % columns == 0 else f"variant {i % columns}" for i, (_, record) in enumerate(variants)]
    frames = [record.frame for _, record in variants]
    montage(frames, [record.mask > 127 for _, record in variants], titles, columns, path, dpi)
