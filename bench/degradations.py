"""What each degradation costs the U-Net at each severity: how the strengths in `nerveseg.data.degradation` were chosen.

    python bench/degradations.py                        # after `dvc repro train_unet`
    python bench/degradations.py --records DIR --model DIR

Prints the mean Dice of the val frames (and of those that show a nerve) of the U-Net with its cut-offs, clean and degraded
in each way. Val, since the strengths are chosen by it and test is to be scored.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from nerveseg.data.degradation import DEGRADATIONS, SEVERITIES, degrade_each
from nerveseg.data.records import DatasetInfo, annotated_frames, shards
from nerveseg.errors import told_plainly
from nerveseg.evaluation.scoring import case_table
from nerveseg.segmenter import Segmenter


def costs(records: Path, model: Path, seed: int) -> pd.DataFrame:
    """A row for each kind and severity: `dice` and `dice_nerve`, and how far they lie below those of the clean frames."""
    segmenter = Segmenter.load(model)
    frames, truths = annotated_frames(shards(records, "val"), DatasetInfo.read(records))

    def scores(kind: str, severity: int) -> dict[str, float]:
        poor = degrade_each(frames, kind, severity, np.random.default_rng([seed, severity]))
        estimates = segmenter.estimates(poor, (truth.shape for truth in truths))
        cases = case_table(estimates, truths, segmenter.cutoffs)
        return {"dice": float(cases["dice"].mean()), "dice_nerve": float(cases.loc[cases["has_nerve"], "dice"].mean())}

    drawn = [(kind, severity) for kind in DEGRADATIONS for severity in SEVERITIES]
    table = pd.DataFrame([{"kind": kind, "severity": severity, **scores(kind, severity)} for kind, severity in drawn])
    clean = scores(next(iter(DEGRADATIONS)), 0)
    return table.assign(**{f"{key} lost": value - table[key] for key, value in clean.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=Path("data/processed"))
    parser.add_argument("--model", type=Path, default=Path("models/unet"))
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    table = costs(asked.records, asked.model, asked.seed)
    for key in ("dice", "dice_nerve"):
        lost = table.pivot_table(f"{key} lost", "kind", "severity", sort=False)
        print(f"\n{key} lost", lost.to_string(float_format="{:.3f}".format), sep="\n")
    severe = table[table["severity"] == 3]
    print(f"\nseverity 3, mean of kinds: {severe[['dice lost', 'dice_nerve lost']].mean().round(3).to_dict()}")


if __name__ == "__main__":
    with told_plainly():
        main()
