"""One frame under every degradation at every severity: what the robustness of a model is measured on."""

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
    """A row for each kind, from the frame as it is to severity 5, under the outline of its mask.

    Args:
        frame: at the size at which frames are degraded, that of the network.
        mask: of the same shape.
        strengths: of the severities.
        seed: of the draws.
        path: of the PNG.
        dpi: of the PNG.
    """
    shown = [(kind, severity) for kind in DEGRADATIONS for severity in (0, *SEVERITIES)]
    frames = [
        degrade(frame, kind, severity, strengths, np.random.default_rng([seed, severity])) for kind, severity in shown
    ]
    titles = [f"{titled(kind)} {severity}" if severity else "As it is" for kind, severity in shown]
    montage(frames, [mask] * len(shown), titles, 1 + len(SEVERITIES), path, dpi)
