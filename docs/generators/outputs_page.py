"""Make the page about output files: paths and meanings come from `output_files.yaml`, columns from the files themselves.

Git tracks the tables in metrics/, so their columns are read from there. The columns of other tables are listed in
`output_files.yaml`, which a test compares with the code.
"""

import csv
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from nerveseg.measures.scores import MEASURES, SCORES
from tables import code, table

MEANINGS = Path(__file__).with_name("output_files.yaml")
METRICS, CASES = Path("metrics/metrics.json"), "metrics/cases.csv"

OPENING = """# Output files

Which file holds what? This page lists everything that the pipeline writes, by stage, then the keys of `metrics.json` and the
columns of each table. To print the scores that matter:

```
nerveseg scores
```

Git tracks `metrics/`, so you can compare any two commits. DVC tracks the rest, and `dvc pull` fetches it."""
METRICS_HEAD = """## metrics/metrics.json

A score that is not defined is `null`."""
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
        METRICS_HEAD,
        table(["key", "what it holds"], [[code(key), text] for key, text in described()["metrics"].items()]),
    ]
    parts += [EACH_MODEL, _meanings(METRICS, list(metrics["exported"]))]
    for path in described()["columns"]:
        about = {
            PREDICTIONS: "`nerveseg predict` writes it into the folder of the masks, with a row for each frame."
        }.get(path, "")
        parts += [f"## {path}", about, _meanings(path, columns_of(path))]
    return "\n\n".join(filter(None, parts)) + "\n"


def columns_of(path: str) -> list[str]:
    """Return the columns of a table: those of the file if Git tracks it, else those in `output_files.yaml`."""
    if not Path(path).is_file() or not path.startswith("metrics/"):
        return list(described()["columns"][path])
    with Path(path).open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))


def meaning(path: str | Path, name: str) -> str:
    """Return the meaning of a column of a table, or of a score in metrics.json.

    Raises:
        KeyError: `output_files.yaml` does not describe it.
    """
    own: Mapping[str, str] = described()["columns"].get(str(path), {})
    if said := own.get(name) or described()["scores"].get(name):
        return str(said)
    if (per_case := MEASURES.get(name) if str(path) == CASES else None) or name in SCORES:
        text = per_case.meaning if per_case else SCORES[name].explained
        return f"{text[0].upper()}{text[1:]}."
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
