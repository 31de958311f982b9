"""Measure what simulated frames are worth for training on real ones.

    python bench/phantom_transfer.py data/raw/bp256                # takes hours; see --seeds, --real, --seen
    python bench/phantom_transfer.py data/raw/bp256 --report       # print the table so far

For each seed, it trains a U-Net on a phantom of that seed alone and scores it on the test subjects of the real folder. Then, for
each number of real subjects (drawn by the seed), it trains one U-Net without the phantom, from `unet.encoder_weights`, and one from that of the phantom, on the same
frames in the same order. A fifth of the drawn subjects, at least one, is val and chooses the epoch and the cut-offs. All trainings on
real frames see the same number of frames, so with few subjects each frame is seen more often. Results are kept in
`.nerveseg/phantom-transfer/`. If it is interrupted, rerun the command to resume.
"""

import argparse
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from nerveseg.dataset.info import DatasetInfo
from nerveseg.errors import told_plainly
from nerveseg.files.atomic import fresh_folder, read_csv, write_csv
from nerveseg.measures.cases import summary
from nerveseg.params.fields import FRESH
from nerveseg.params.file import Params, load_params
from nerveseg.phantom.simulation import write_phantom
from nerveseg.preprocessing.layouts import natural_key, recognise
from nerveseg.preprocessing.packing import prepare_dataset
from nerveseg.preprocessing.subjects import SubjectRules
from nerveseg.unet.segmenter import Segmenter
from trainings import score, train, use_threads

FOLDER = Path(".nerveseg/phantom-transfer")
TEST_SUBJECTS = tuple(str(subject) for subject in range(31, 38))
COLUMNS = ["seed", "real_subjects", "start", "train_frames", "epochs", "val_dice", "dice_nerve", "iou_nerve", "minutes"]
ALONE, WITHOUT, PHANTOM = "phantom alone", "without the phantom", "phantom"


@dataclass(frozen=True)
class Trained:
    segmenter: Segmenter
    frames: int = 0
    epochs: int = 0
    val_dice: float = float("nan")


class Transfer:
    """One folder of results.

    Args:
        folder: of the results.
        real: frames in Kaggle's layout.
        params: for all trainings; `unet.epochs` is replaced.
        subjects: of the phantom.
        seen: frames that each training sees, one counted each time, on the phantom and on real frames.
    """

    def __init__(self, folder: Path, real: Path, params: Params, subjects: int, seen: tuple[int, int]) -> None:
        self.folder, self.real, self.params, self.subjects, self.seen = folder, real, params, subjects, seen

    @property
    def results(self) -> pd.DataFrame:
        path = self.folder / "results.csv"
        return read_csv(path) if path.is_file() else pd.DataFrame(columns=COLUMNS)

    def run(self, seed: int, counts: list[int]) -> None:
        """Run the missing trainings of a seed."""
        unet = self._phantom_unet(seed)
        tests = self._prepare_real(seed, max(counts))
        self._once(seed, 0, ALONE, tests, lambda: Trained(Segmenter.load(unet)))
        for count in counts:
            prepared = self._prepare_real(seed, count)
            self._once(seed, count, WITHOUT, tests, partial(self._train, prepared, self.seen[1], seed, FRESH))
            self._once(seed, count, PHANTOM, tests, partial(self._train, prepared, self.seen[1], seed, str(unet)))

    def report(self) -> str:
        """Return a row for each number of real subjects and a column for each start: mean, minimum and maximum over the seeds."""
        table = self.results.groupby(["real_subjects", "start"])["dice_nerve"].agg(["count", "mean", "min", "max"])
        return table.to_string(float_format="{:.3f}".format)

    def _once(self, seed: int, count: int, start: str, tests: Path, training: Callable[[], "Trained"]) -> None:
        done = self.results
        if ((done["seed"] == seed) & (done["real_subjects"] == count) & (done["start"] == start)).any():
            return
        began = time.monotonic()
        trained = training()
        scores = summary(score(trained.segmenter, tests))
        minutes = round((time.monotonic() - began) / 60, 2)
        row = [seed, count, start, trained.frames, trained.epochs, trained.val_dice]
        row += [scores["dice_nerve"], scores["iou_nerve"], minutes]
        write_csv(self.folder / "results.csv", pd.concat([done, pd.DataFrame([row], columns=COLUMNS)]))
        print(self.report(), flush=True)

    def _train(self, prepared: Path, seen: int, seed: int, init_from: str) -> "Trained":
        frames = DatasetInfo.read(prepared).frames["train"]
        epochs = max(1, round(seen / frames))
        unet = self.params.unet.model_copy(update={"epochs": epochs, "init_from": init_from})
        segmenter, val_dice = train(prepared, self.params.model_copy(update={"unet": unet}), seed)
        return Trained(segmenter, frames, epochs, val_dice)

    def _phantom_unet(self, seed: int) -> Path:
        """Return the folder of a U-Net trained on a phantom of this seed."""
        trained = self.folder / f"unet-{seed}"
        if not trained.is_dir():
            prepared = self.folder / f"phantom-{seed}"
            if not prepared.is_dir():
                self.folder.mkdir(parents=True, exist_ok=True)
                with TemporaryDirectory(dir=self.folder) as frames:
                    section = self.params.phantom.model_copy(update={"subjects": self.subjects})
                    write_phantom(Path(frames), section, seed, workers=1)
                    self._prepare(prepared, Path(frames), seed, {"val_fraction": 0.1, "test_fraction": 0.05})
            segmenter = self._train(prepared, self.seen[0], seed, FRESH).segmenter
            with fresh_folder(trained) as folder:
                segmenter.save(folder)
        return trained

    def _prepare_real(self, seed: int, count: int) -> Path:
        """Return records of `count` real subjects drawn by the seed, and of the test subjects."""
        prepared = self.folder / f"real-{seed}-{count}"
        if not prepared.is_dir():
            rules = SubjectRules.read(self.real, self.params.data.subject_pattern)
            sources = {source: rules.subject(source.name, source.name, None) for source in recognise(self.real).sources}
            known = sorted({subject for subject in sources.values() if subject} - set(TEST_SUBJECTS), key=natural_key)
            drawn = [known[i] for i in np.random.default_rng(seed).permutation(len(known))[:count]]
            self.folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=self.folder) as frames:
                for source, subject in sources.items():
                    if subject in {*drawn, *TEST_SUBJECTS}:
                        for path in (source.frame, *source.masks):
                            shutil.copy(path, frames)
                val = tuple(drawn[: max(1, count // 5)])
                self._prepare(prepared, Path(frames), seed, {"test_subjects": TEST_SUBJECTS, "val_subjects": val})
        return prepared

    def _prepare(self, prepared: Path, frames: Path, seed: int, split: dict[str, object]) -> None:
        data = self.params.data.model_copy(update={"dir": str(frames)})
        chosen = self.params.split.model_copy(update={"folds": 0, "fold": 0, **split})
        with fresh_folder(prepared) as folder:
            prepare_dataset(folder, data, chosen, self.params.preprocess, seed, self.folder, workers=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path, help="folder in Kaggle's layout with the subjects 1 to 37")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--real", dest="counts", type=int, nargs="+", default=[5, 10, 30], help="numbers of real subjects"
    )
    parser.add_argument("--phantom-subjects", type=int, default=200)
    parser.add_argument(
        "--seen",
        type=int,
        nargs=2,
        default=[24_000, 12_000],
        help="frames seen in training on the phantom and on real frames",
    )
    parser.add_argument("--threads", type=int, default=1, help="threads for TensorFlow (default: 1)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"where to write the results (default: {FOLDER})")
    parser.add_argument("--report", action="store_true", help="print the table so far without training")
    asked = parser.parse_args()
    transfer = Transfer(asked.folder, asked.real, load_params(), asked.phantom_subjects, tuple(asked.seen))
    if not asked.report:
        use_threads(asked.threads)
        for seed in asked.seeds:
            transfer.run(seed, asked.counts)
    print(transfer.report())


if __name__ == "__main__":
    with told_plainly():
        main()
