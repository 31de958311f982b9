"""One frame under every degradation at every severity."""

from pathlib import Path

import numpy as np

from nerveseg.augmentation.degradations import DEGRADATIONS, SEVERITIES, degrade
from nerveseg.imaging.arrays import Frame, Mask
from nerveseg.params.networks import DegradationParams
from nerveseg.reporting.figures.pictures import montage
from nerveseg.reporting.figures.plots import titled


def degradation_gallery(
    frame: Frame, mask: Mask, strengths: DegradationParams, seed: int, path: Path | str, dpi: int
) -> None:
    """Draw a row for each degradation, from the clean frame (at the network's size) to severity 5, under the outline of its mask."""
    shown = [(kind, severity) for kind in DEGRADATIONS for severity in (0, *SEVERITIES)]
    frames = [
        degrade(frame, kind, severity, strengths, np.random.default_rng([seed, severity])) for kind, severity in shown
    ]
    titles = [f"{titled(kind)} {severity}" if severity else "As it is" for kind, severity in shown]
    montage(frames, [mask] * len(shown), titles, 1 + len(SEVERITIES), path, dpi)
