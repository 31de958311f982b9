"""Update the pictures of the documents from `reports/`: run `python docs/generators/pictures.py` after the default run.

`docs/comparison.png` is three rows of `reports/comparison.png`: a median frame, the worst, and the degraded one that the refiner
helps most, or one of the best if no refiner ships. `docs/report.png` is the first screen of the report, in Chromium.
"""

import json
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
HEAD, LEGEND = 0.29, 0.36  # inches above and below the rows of the figure
WORST, MEDIAN, BEST, RESCUED = 0, 2, 4, 6  # rows
WIDTH = 1266


def comparison() -> None:
    figure = Image.open(ROOT / "reports" / "comparison.png").convert("RGB")
    inch = figure.info["dpi"][0]
    refined = json.loads((ROOT / "metrics" / "metrics.json").read_text(encoding="utf-8"))["shipped"]["arm"] != "unet"
    row = (figure.height - (HEAD + LEGEND) * inch) / (RESCUED + refined)
    places = [
        (0, HEAD * inch),
        *((HEAD * inch + n * row, row) for n in (MEDIAN, WORST, RESCUED if refined else BEST)),
        (figure.height - LEGEND * inch, LEGEND * inch),
    ]
    parts = [figure.crop((0, round(top), figure.width, round(top + height))) for top, height in places]
    whole = Image.new("RGB", (figure.width, sum(part.height for part in parts)))
    lower = 0
    for part in parts:
        whole.paste(part, (0, lower))
        lower += part.height
    height = round(whole.height * WIDTH / whole.width)
    whole.resize((WIDTH, height), Image.Resampling.LANCZOS).save(ROOT / "docs" / "comparison.png", optimize=True)


def report() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1240, "height": 1240})
        page.goto((ROOT / "reports" / "index.html").as_uri())
        page.wait_for_timeout(3000)  # until the pictures are decoded
        page.screenshot(path=ROOT / "docs" / "report.png")
        browser.close()


if __name__ == "__main__":
    comparison()
    report()
