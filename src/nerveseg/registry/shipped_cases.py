"""The cases of the model that ships: here, of a commit, of a model in MLflow's registry.

They are the rows of `exported` in `metrics/cases.csv`, a frame each, with `frame` and `subject` as text. Each registered model keeps a copy of that file.
"""

import io
import sys
from pathlib import Path

import pandas as pd

from nerveseg.errors import ComparisonError, RepositoryError
from nerveseg.evaluation.model_names import SHIPPED
from nerveseg.files.atomic import read_csv
from nerveseg.registry.download import CASES, downloaded, is_uri
from nerveseg.repository import git

PATH = Path("metrics/cases.csv")
_HIGHEST = {
    "dice": 1.0,
    "truth_area": sys.float_info.max,
    "frame_area": sys.float_info.max,
}  # of the numbers in a column


def cases_here() -> pd.DataFrame:
    """Raises ComparisonError: there are none."""
    if not PATH.is_file():
        raise ComparisonError(f"{PATH} was not found; run `dvc repro` first, from the repository's root")
    return _shipped(PATH.read_bytes(), str(PATH))


def cases_of(base: str) -> pd.DataFrame:
    """Of a commit, a branch, a tag, or a model of MLflow's, as `models:/nerveseg@champion`.

    Raises:
        ComparisonError: it is none of these, or has no cases.
        ModelError: the model, or the store with it, is not there.
    """
    if not base.strip():
        raise ComparisonError("the base to compare with is empty; name a commit, a branch, a tag or a registered model")
    if is_uri(base):
        with downloaded(base, CASES) as file:
            return _shipped(file.read_bytes(), f"{CASES} of {base}")
    try:
        git("rev-parse", "--verify", "--end-of-options", f"{base}^{{commit}}")
    except RepositoryError as error:
        raise ComparisonError(
            f"{base} is neither a commit, branch or tag of this repository nor a model of MLflow's, as "
            "models:/nerveseg@champion; correct it (`git branch --all` lists the branches; `git fetch` brings those of "
            f"others). {error}"
        ) from None
    try:
        content = git("cat-file", "blob", f"{base}:./{PATH}")
    except RepositoryError:
        raise ComparisonError(
            f"{base} has no {PATH}; run `dvc repro` there and commit it, or name a commit that has it"
        ) from None
    return _shipped(content.encode(), f"{PATH} of {base}")


def _shipped(content: bytes, source: str) -> pd.DataFrame:
    try:
        table = read_csv(io.StringIO(content.decode()))
    except ValueError as error:  # as are pandas' own errors, and bytes that are no text
        raise ComparisonError(f"{source} is no table of cases ({error}); make it again with `dvc repro`") from None
    if "model" not in table or not (ships := table["model"] == SHIPPED).any():
        raise ComparisonError(
            f"{source} has no row of `{SHIPPED}`, the model that ships; make it again with `dvc repro`"
        )
    found = table[ships]
    for column, highest in _HIGHEST.items():
        if column in found and not pd.to_numeric(found[column], errors="coerce").between(0, highest).all():
            expected = "numbers from 0 to 1" if highest == 1 else "numbers from 0 up"
            raise ComparisonError(
                f"{source} has values in column {column} of `{SHIPPED}` that are impossible, expected {expected}; make it "
                "again with `dvc repro`"
            )
    if "has_nerve" in found and found["has_nerve"].dtype != bool:
        raise ComparisonError(
            f"{source} has values other than True and False in column has_nerve; make it again with `dvc repro`"
        )
    return found
