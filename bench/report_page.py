"""Measure how large the report is with many test frames, and how fast it opens in Chromium.

    python bench/report_page.py [FRAMES] [--figures FOLDER]

Simulates the frames at the default size. Predictions are the annotations, moved and smoothed. With `--figures`, the page also
contains the PNGs of that folder, for example those of reports/. Prints the size and, as medians over five starts of a fresh browser,
the time until the list of cases is filled and the time until the charts are drawn.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from playwright.sync_api import sync_playwright

from browsers import chromium
from nerveseg.evaluation.score_table import Scores, score_table
from nerveseg.measures.cases import case_measures
from nerveseg.params.file import load_params
from nerveseg.phantom.simulation import Subject
from nerveseg.reporting.ablation_summary import Findings
from nerveseg.reporting.case_browser import Gallery, fitting_rung
from nerveseg.reporting.figures.pictures import Case
from nerveseg.reporting.page import write_report

MOVED = {"unet": 9, "exported": 4}  # pixels
RELIABILITY = pd.DataFrame(columns=["model", "low", "high", "pixels", "probability", "nerve"])  # of no pixel


def cases(count: int) -> Iterator[Case]:
    params = load_params()
    for number in range(count):
        frame, truth = Subject(params.seed, 1 + number // 7, params.phantom).frame(1 + number % 7)
        masks = {model: np.roll(truth, by, (0, 1)) for model, by in MOVED.items()}
        maps = {model: cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 6) for model, mask in masks.items()}
        unsure = 4 * maps["exported"] * (1 - maps["exported"])
        dice = {model: float(case_measures(truth, mask)["dice"]) for model, mask in masks.items()}
        yield Case(
            name=f"{number // 7}_{number % 7}", subject=str(number // 7), frame=frame, truth=truth, masks=masks, dice=dice,
            probabilities=maps, mirrored=maps["exported"], uncertainty=unsure,
        )  # fmt: skip


def write_page(path: Path, count: int, figures: Path | None) -> None:
    everything = list(cases(count))
    rows = [
        {"frame": case.name, "model": model, **case_measures(case.truth, mask), "presence": 0.5, "confidence": 0.5}
        for case in everything
        for model, mask in case.masks.items()
    ]
    gallery = Gallery(pd.DataFrame(rows), fitting_rung([case.frame for case in everything]))
    for _ in gallery.passing(everything):
        pass
    drawn = [(png.stem, "", png) for png in sorted(figures.glob("*.png"))] if figures else []
    scores = Scores(score_table(pd.DataFrame(rows), RELIABILITY, 10, 0))
    counts = {"frames": count, "frames_with_nerve": count, "subjects": 1}
    metrics = {
        "counts": counts,
        "unet": {},
        "exported": {},
        "shipped": {"source": "gan", "arm": "control", "precision": "int8"},
    }
    write_report(path, metrics, scores, {}, {}, drawn, Findings(""), gallery.document())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", type=int, nargs="?", default=1000)
    parser.add_argument("--figures", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder) / "index.html"
        write_page(page, given.frames, given.figures)
        listed, drawn = [], []
        for _ in range(5):
            browser = playwright.chromium.launch(executable_path=chromium())
            tab = browser.new_page()
            start = time.perf_counter()
            tab.goto(page.as_uri(), wait_until="commit")
            tab.wait_for_selector("#case-rows tr")
            listed.append(time.perf_counter() - start)
            tab.wait_for_function("document.getElementById('frame').complete")
            drawn.append(time.perf_counter() - start)
            browser.close()
        print(
            f"{given.frames} frames: {page.stat().st_size / 1e6:.1f} MB; listed after {statistics.median(listed):.2f} s "
            f"({min(listed):.2f} to {max(listed):.2f}), the first frame shown after {statistics.median(drawn):.2f} s"
        )


if __name__ == "__main__":
    main()
