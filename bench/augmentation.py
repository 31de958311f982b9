"""Measure what augmentation costs, and with --study what each transform is worth on real frames.

    python bench/augmentation.py                                    # frames/s on one core, takes a minute
    python bench/augmentation.py --study data/raw/bp256             # takes hours; see --minutes, --seeds, --arms
    python bench/augmentation.py --study data/raw/bp256 --report    # print the table so far

`bench/augmentation_study.py` describes the study. It writes to `.nerveseg/augmentation-study/`. If it is interrupted, rerun
the command to resume.
"""

import argparse
import statistics
import time
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from augmentation_study import STRENGTHS, Study, all_arms, only, run_study
from nerveseg.augmentation.variants import variant
from nerveseg.errors import told_plainly
from nerveseg.params.file import Params, load_params
from trainings import use_threads

STUDY = Path(".nerveseg/augmentation-study")
TEST_SUBJECTS = tuple(str(subject) for subject in range(31, 38))
CHANCES = ("reverberation", "shadow", "blur", "defocus")


def throughput(params: Params, repeats: int = 9, frames: int = 200) -> None:
    """Print frames per second of CPU time: for each transform alone, in every frame, and for sets of transforms."""
    cv2.setNumThreads(1)
    shape = (params.preprocess.height, params.preprocess.width)
    frame = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8), (0, 0), 2)
    mask = cv2.circle(np.zeros(shape, np.uint8), (shape[1] // 2, shape[0] // 2), shape[0] // 8, 255, -1)
    always = STRENGTHS | dict.fromkeys(CHANCES, 1.0)
    sections = {"nothing but the warp": only({}, params.augment)}
    sections |= {knob: only({knob: strength}, params.augment) for knob, strength in always.items()}
    sections |= {"params.yaml": params.augment, "all, as in the study": only(STRENGTHS, params.augment)}
    sections |= {"all, in every frame": only(always, params.augment)}
    rates: dict[str, list[float]] = {name: [] for name in sections}
    for repeat in tqdm(range(repeats), desc="measuring", unit="repeat"):  # in turns, so that a busy minute affects all
        for name, section in sections.items():
            start = time.process_time()
            for number in range(frames):
                variant(frame, mask, section, (repeat, number))
            rates[name].append(frames / (time.process_time() - start))
    print(f"{shape[1]}x{shape[0]}, frames/s on one core: median of {repeats}, lowest and highest")
    for name, measured in rates.items():
        print(f"{name:24}{statistics.median(measured):7.0f}{min(measured):7.0f}{max(measured):7.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, metavar="FRAMES", help="folder in Kaggle's layout")
    parser.add_argument("--minutes", type=float, default=4.0, help="training time of each arm (default: 4)")
    parser.add_argument("--epochs", type=int, default=0, help="epochs of each arm, instead of --minutes")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="names of arms (default: all)")
    parser.add_argument("--test-subjects", nargs="+", default=TEST_SUBJECTS, metavar="SUBJECT")
    parser.add_argument("--threads", type=int, default=1, help="threads for TensorFlow (default: 1)")
    parser.add_argument("--folder", type=Path, default=STUDY, help=f"where to write the results (default: {STUDY})")
    parser.add_argument("--report", action="store_true", help="print the table so far without training")
    asked = parser.parse_args()
    params = load_params()
    arms = all_arms(params.augment)
    chosen = asked.arms or list(arms)
    if unknown := sorted(set(chosen) - set(arms)):
        parser.error(f"no arm is called {', '.join(unknown)}; arms are {', '.join(arms)}")
    if asked.study is None:
        throughput(params)
        return
    split = params.split.model_copy(update={"folds": 0, "fold": 0, "test_subjects": tuple(asked.test_subjects)})
    params = params.model_copy(update={"split": split})
    if asked.report:
        print(Study(asked.folder, params, 0).report(arms))
        return
    use_threads(asked.threads)
    study = Study.open(asked.folder, params, asked.study, asked.minutes, asked.epochs)
    run_study(study, arms, chosen, asked.seeds)


if __name__ == "__main__":
    with told_plainly():
        main()
