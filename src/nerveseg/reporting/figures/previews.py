"""What the networks learn from and are tested on: train frames beside variants, and one frame under every degradation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nerveseg.augmentation.degradations import DEGRADATIONS, SEVERITIES, degrade
from nerveseg.augmentation.rounds import in_round
from nerveseg.dataset.records import Record
from nerveseg.params.data import AugmentParams
from nerveseg.params.networks import DegradationParams
from nerveseg.reporting.figures.pictures import montage
from nerveseg.reporting.figures.plots import titled


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


def degradation_gallery(record: Record, strengths: DegradationParams, seed: int, path: Path | str, dpi: int) -> None:
    """Draw a row for each degradation, from the clean frame (at the network's size) to severity 5, under the outline of its mask."""
    shown = [(kind, severity) for kind in DEGRADATIONS for severity in (0, *SEVERITIES)]
    frames = [
        degrade(record.frame, kind, severity, strengths, np.random.default_rng([seed, severity]))
        for kind, severity in shown
    ]
    titles = [f"{titled(kind)} {severity}" if severity else "As it is" for kind, severity in shown]
    montage(frames, [record.mask > 127] * len(shown), titles, 1 + len(SEVERITIES), path, dpi)
