"""The page about every file that the pipeline writes: paths and meanings from `output_files.yaml`, columns from the files.

The tables under metrics/ are kept in Git, so their columns are those that they have. Those of tables that are not kept in
Git stand in `output_files.yaml`, which a test compares with the code.
"""

import csv
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tables import code, table

MEANINGS = Path(__file__).with_name("output_files.yaml")
METRICS = Path("metrics/metrics.json")

OPENING = """# Output files

Everything that the pipeline writes, stage by stage; then the keys of `metrics.json` and the columns of each table. Git keeps
`metrics/`, so that you can compare any two commits. DVC keeps the rest, and `dvc pull` fetches it."""
SCORES = """## metrics/metrics.json

`dvc metrics show` prints it. A score that is not defined is `null`."""
EACH_MODEL = "The scores of a model or baseline:"
PREDICTIONS = "predictions.csv"


@cache
def described() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(MEANINGS.read_text(encoding="utf-8"))
    return found


def outputs_page() -> str:
    parts = [OPENING]
    for stage in dict.fromkeys(file["stage"] for file in described()["files"].values()):
        rows = [
            row for path, file in described()["files"].items() if file["stage"] == stage for row in _files(path, file)
        ]
        parts += [f"## {stage}", table(["path", "what it holds"], rows)]
    metrics = json.loads(METRICS.read_text(encoding="utf-8"))
    parts += [
        SCORES,
        table(["key", "what it holds"], [[code(key), text] for key, text in described()["metrics"].items()]),
    ]
    parts += [EACH_MODEL, _meanings(METRICS, list(metrics["exported"]))]
    for path in described()["columns"]:
        about = {PREDICTIONS: "`nerveseg predict` writes it beside the masks, a row for each frame."}.get(path, "")
        parts += [f"## {path}", about, _meanings(path, columns_of(path))]
    return "\n\n".join(filter(None, parts)) + "\n"


def columns_of(path: str) -> list[str]:
    """Of a table: as it stands in the repository, or as it is described where it does not."""
    if not Path(path).is_file() or not path.startswith("metrics/"):
        return list(described()["columns"][path])
    with Path(path).open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))


def meaning(path: str | Path, name: str) -> str:
    """Say what a column of a table, or a score in metrics.json, means.

    Raises:
        KeyError: `output_files.yaml` does not say it.
    """
    own: Mapping[str, str] = described()["columns"].get(str(path), {})
    if said := own.get(name) or described()["scores"].get(name):
        return str(said)
    for ending, text in described()["endings"].items():
        if name.endswith(ending):
            score = name.removesuffix(ending)
            return str(text).format(meaning(path, score), name=score)
    raise KeyError(f"{path}: say in {MEANINGS} what {name} means")


def _meanings(path: str | Path, names: list[str]) -> str:
    return table(
        ["column" if str(path).endswith(".csv") else "score", "meaning"],
        [[code(name), meaning(path, name)] for name in names],
    )


def _files(path: str, file: Mapping[str, Any]) -> list[list[str]]:
    inside = [[", ".join(map(code, names.split(", "))), text] for names, text in file.get("inside", {}).items()]
    return [[f"**{code(path)}**" if inside else code(path), file["holds"]], *inside]
