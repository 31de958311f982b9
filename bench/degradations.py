"""Measure how much Dice each degradation costs the U-Net at each severity, or fit strengths to given costs.

    python bench/degradations.py                        # after `dvc repro train_unet`
    python bench/degradations.py --records DIR --model DIR
    python bench/degradations.py --fit > strengths.yaml # strengths at which each severity costs what it should

Prints the mean Dice of the U-Net with its cut-offs on the val frames, and on those that show a nerve, clean and degraded in each
way. It uses val because the strengths are chosen by it, and test is kept for scoring. With `--fit`, it tries each kind at the
strengths of `TRIED`, and interpolates between them linearly, assuming that the cost never falls.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from nerveseg.augmentation.degradations import DEGRADATIONS, SEVERITIES, degrade_each, with_strength
from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.records import annotated_frames
from nerveseg.errors import told_plainly
from nerveseg.evaluation.thresholds import case_table
from nerveseg.params.file import load_params
from nerveseg.params.networks import DegradationParams
from nerveseg.unet.segmenter import Segmenter

COSTS = (0.02, 0.05, 0.1, 0.18, 0.28)  # of Dice, at severity 1 to 5
TRIED: dict[str, Sequence[float]] = {
    "speckle": (2, 4, 6, 8, 10, 13, 16, 20, 25, 30),
    "noise": (20, 26, 32, 38, 44, 50, 56, 62),
    "blur": (0.3, 0.7, 1, 1.5, 2, 2.5, 3, 4),
    "low_gain": (4, 8, 12, 16, 20, 25, 30, 35, 40, 45, 50),
    "over_gain": (4, 8, 12, 16, 20, 25, 30, 35, 40),
    "shadow": (0.02, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8),
    "downsampling": (1.2, 2, 3, 4, 5, 6, 8, 10),
    "jpeg": (1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6),
}


class Val:
    """The val frames and the segmenter to score on them."""

    def __init__(self, records: Path, model: Path) -> None:
        self.segmenter = Segmenter.load(model)
        self.frames, self.truths = annotated_frames(shards(records, "val"), DatasetInfo.read(records))

    def dice(self, frames: NDArray[np.uint8]) -> tuple[float, float]:
        """Return the mean Dice of all frames, and of those with a nerve."""
        estimates = self.segmenter.estimates(frames, (truth.shape for truth in self.truths))
        cases = case_table(estimates, self.truths, self.segmenter.cutoffs)
        return float(cases["dice"].mean()), float(cases.loc[cases["has_nerve"], "dice"].mean())


def costs(val: Val, strengths: DegradationParams, seed: int) -> pd.DataFrame:
    """Return a row for each kind and severity: `dice` and `dice_nerve`, and their loss against the clean frames."""
    rows = []
    clean = val.dice(val.frames)
    for kind in DEGRADATIONS:
        for severity in SEVERITIES:
            poor = degrade_each(val.frames, kind, severity, strengths, np.random.default_rng([seed, severity]))
            row: dict[str, object] = {"kind": kind, "severity": severity}
            for key, before, after in zip(("dice", "dice_nerve"), clean, val.dice(poor), strict=True):
                row |= {key: after, f"{key} lost": before - after}
            rows.append(row)
    return pd.DataFrame(rows)


def fitted(val: Val, seed: int, tried: Mapping[str, Sequence[float]] = TRIED) -> dict[str, list[float]]:
    """Return, for each kind, the strengths that cost `COSTS` Dice of all val frames."""
    clean, _ = val.dice(val.frames)
    found = {}
    for kind, strengths in tried.items():
        lost = [0.0]
        for number, strength in enumerate(strengths):
            rng = np.random.default_rng([seed, number])
            dice, _ = val.dice(np.stack([with_strength(frame, kind, strength, rng) for frame in val.frames]))
            lost.append(max(clean - dice, lost[-1] + 1e-6))
        begin = 1.0 if kind in ("downsampling", "jpeg") else 0.01 * strengths[0]
        chosen: list[float] = []
        for reached in np.interp(COSTS, lost, [begin, *strengths]):
            least = chosen[-1] + 0.01 * strengths[-1] if chosen else 0.0  # if even the strongest costs too little
            chosen.append(float(f"{max(reached, least):.3g}"))
        found[kind] = chosen
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=Path("data/processed"))
    parser.add_argument("--model", type=Path, default=Path("models/unet"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fit", action="store_true", help="print strengths, as in params.yaml")
    asked = parser.parse_args()
    val = Val(asked.records, asked.model)
    if asked.fit:
        yaml.safe_dump(fitted(val, asked.seed), sys.stdout, default_flow_style=None, sort_keys=False)
        return
    table = costs(val, load_params().degradation, asked.seed)
    for key in ("dice", "dice_nerve"):
        lost = table.pivot_table(f"{key} lost", "kind", "severity", sort=False)
        print(f"\n{key} lost", lost.to_string(float_format="{:.3f}".format), sep="\n")
    severe = table[table["severity"] == 3]
    print(f"\nseverity 3, mean of kinds: {severe[['dice lost', 'dice_nerve lost']].mean().round(3).to_dict()}")


if __name__ == "__main__":
    with told_plainly():
        main()
