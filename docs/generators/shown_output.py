"""Update the output that the documents show: run `PYTHONPATH=src python docs/generators/shown_output.py`.

A block with a line `$ COMMAND` shows the output of that command below the line. A test runs each command again and fails if the
output differs. Output that needs a training, a server or a history of experiments is shown without `$ `, and not updated.

A figure of the default run is followed by a comment with its source in metrics/ and its format, for example
`0.908<!-- metrics.json exported dice .3f -->`. For a table, the source is the values of its first columns and the name of a column.
`cases.csv exported most_confident 0.8` is the mean Dice of the 80 % of the frames with the highest confidence.
Between the comments `scores` and `end of scores` stands the table of scores, from `measures/scores.py`.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import reduce
from operator import getitem
from pathlib import Path
from tempfile import TemporaryDirectory

from nerveseg.evaluation.model_names import SHIPPED
from nerveseg.files.atomic import read_csv, write_csv
from nerveseg.measures.scores import SCORES
from nerveseg.params.file import load_params
from nerveseg.phantom.simulation import write_phantom
from tables import code, table

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^(?P<fence>`{3,})\w*\n(?P<content>\$ .*?)^(?P=fence)$", re.DOTALL | re.MULTILINE)
FIGURE = re.compile(r"[-+]?\d[\d.]*(?P<source><!-- (?P<file>\S+\.(?:json|csv)) (?P<keys>.+?) (?P<format>\S+) -->)")
TABLE = re.compile(r"(?<=<!-- scores -->\n\n).*?(?=\n\n<!-- end of scores -->)", re.DOTALL)


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def shown_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command that a document shows, and the output below it."""
    for block in BLOCK.finditer(text):
        for command in re.split(r"^\$ ", block["content"], flags=re.MULTILINE)[1:]:
            line, _, output = command.partition("\n")
            yield line, output


def with_figures(text: str) -> str:
    """Return the document with its figures of the default run updated from metrics/, and its table of scores from the code."""

    def renewed(figure: re.Match[str]) -> str:
        value = f"{_measured(figure['file'], figure['keys'].split()):{figure['format']}}"
        return f"{value.rstrip('%')}{figure['source']}"

    rows = [
        [code(score.key), score.meaning, score.over.words, "lower" if score.lower_is_better else "higher"]
        for score in SCORES.values()
    ]
    return TABLE.sub(lambda _: table(["key", "meaning", "mean over", "better"], rows), FIGURE.sub(renewed, text))


def _measured(file: str, keys: list[str]) -> float:
    path = ROOT / "metrics" / file
    if keys[1:2] == ["most_confident"]:
        cases = read_csv(path)
        cases = cases[cases["model"] == keys[0]].sort_values("confidence", ascending=False)
        return float(cases["dice"].head(round(float(keys[2]) * len(cases))).mean())
    if path.suffix == ".json":
        return float(reduce(getitem, keys, json.loads(path.read_text(encoding="utf-8"))))
    with path.open(encoding="utf-8", newline="") as table:
        (row,) = (row for row in csv.DictReader(table) if [*row.values()][: len(keys) - 1] == keys[:-1])
    return float(row[keys[-1]])


def made_again(text: str) -> str:
    """Return the document with the output of every command in `MADE` updated."""

    def renewed(block: re.Match[str]) -> str:
        shown = list(shown_in(block[0]))
        content = "".join(f"$ {line}\n{MADE[line]() if line in MADE else output}" for line, output in shown)
        return block[0].replace(block["content"], content)

    return BLOCK.sub(renewed, text)


def scores_of_the_default() -> str:
    with TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "metrics", Path(folder, "metrics"))
        return _nerveseg(folder, "scores")


def check_of_a_folder() -> str:
    """Check a few simulated frames, among them one without a mask, an empty file, and a file that is not a frame."""
    with TemporaryDirectory() as folder:
        frames = Path(folder, "data", "raw", "clinic")
        _simulate(frames, subjects=3, frames=4)
        (frames / "3_2_mask.tif").unlink()
        (frames / "2_1.tif").write_bytes(b"")
        (frames / "notes.txt").write_text("Scanned on a Tuesday.\n", encoding="utf-8")
        return _nerveseg(folder, "check", "data/raw/clinic")


def prediction() -> str:
    """Predict with an untrained network that calls every pixel nerve: the default's model finds a nerve in both frames, too."""
    with TemporaryDirectory() as folder:
        _simulate(Path(folder, "data", "phantom"), subjects=3, frames=3)
        _untrained(Path(folder, "models", "exported"))
        return _nerveseg(folder, "predict", "data/phantom/3_1.tif", "data/phantom/3_2.tif", "--out", "masks")


def gate() -> str:
    """Compare the default's exported model, changed to miss the nerve in one frame, with the trained one as the base."""
    with TemporaryDirectory() as folder:
        table = Path(folder, "metrics", "cases.csv")
        table.parent.mkdir()
        cases = read_csv(ROOT / "metrics" / "cases.csv")
        write_csv(table, cases[cases["model"] == "gan"].assign(model=SHIPPED))
        person = ["-c", "user.name=nerveseg", "-c", "user.email=nerveseg@example.org"]
        for command in (["init", "-q", "-b", "main"], ["add", "."], [*person, "commit", "-qm", "main"]):
            subprocess.run(["git", *command], cwd=folder, env=_environment(), check=True)
        now = cases[cases["model"] == SHIPPED].reset_index(drop=True)
        missed = int(now["dice"].where(now["has_nerve"] & (now["dice"] > 0.5)).argmin())
        now.loc[missed, "dice"] = 0.0
        write_csv(table, now)
        subject = str(now.loc[missed, "subject"])
        lines = _nerveseg(folder, "gate", "--base", "main").splitlines(keepends=True)
        shown = [line for line in lines if line.split()[0] != "subject" or line.split()[1] == subject]
        return "".join("...\n" + line + "...\n" if line.split()[0] == "subject" else line for line in shown)


MADE: dict[str, Callable[[], str]] = {
    "nerveseg scores": scores_of_the_default,
    "nerveseg check data/raw/clinic": check_of_a_folder,
    "nerveseg predict data/phantom/3_1.tif data/phantom/3_2.tif --out masks": prediction,
    "nerveseg gate --base main": gate,
}


def _simulate(folder: Path, subjects: int, frames: int) -> None:
    few = load_params(ROOT / "params.yaml").phantom.model_copy(
        update={"subjects": subjects, "frames_per_subject": frames}
    )
    write_phantom(folder, few, seed=2016, workers=1)


def _untrained(folder: Path) -> None:
    from nerveseg.dataset.input_spec import InputSpec
    from nerveseg.inference.postprocessing import Cutoffs
    from nerveseg.unet.network import build_unet
    from nerveseg.unet.segmenter import Segmenter, SegmenterConfig

    params = load_params(ROOT / "params.yaml").unet.model_copy(update={"base_filters": 2, "depth": 1})
    spec = InputSpec(32, 64, 100.0, 50.0)
    network = build_unet(params, spec, pretrained=False)
    folder.mkdir(parents=True)
    Segmenter(SegmenterConfig(spec, params, cutoffs=Cutoffs(threshold=1e-9)), network).save(folder)


def _nerveseg(folder: str, *arguments: str) -> str:
    """Run a command in a folder with the default parameters, and return its output."""
    shutil.copy(ROOT / "params.yaml", folder)
    command = [sys.executable, "-m", "nerveseg.cli", *arguments]
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_", "MLFLOW_"))}
    return kept | {"PYTHONPATH": str(ROOT / "src"), "GIT_CONFIG_GLOBAL": os.devnull}


def main() -> None:
    for path in documents():
        text = path.read_text(encoding="utf-8")
        if (renewed := with_figures(made_again(text))) != text:
            path.write_text(renewed, encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: updated")


if __name__ == "__main__":
    main()
