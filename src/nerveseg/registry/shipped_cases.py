"""The cases of the model that ships, `exported` in `metrics/cases.csv`: here, in a commit, or in a registered model."""

import io
import sys
from contextlib import suppress
from pathlib import Path

import pandas as pd

from nerveseg.errors import ComparisonError, RepositoryError
from nerveseg.evaluation.model_names import SHIPPED
from nerveseg.files.atomic import read_csv
from nerveseg.registry.download import CASES, downloaded, is_uri
from nerveseg.repository import committed, git

PATH = Path("metrics/cases.csv")
_HIGHEST = {"dice": 1.0, "truth_area": sys.float_info.max, "frame_area": sys.float_info.max}  # numbers of a column


def cases_here() -> pd.DataFrame:
    """Raises ComparisonError: there are none."""
    if not PATH.is_file():
        raise ComparisonError(f"{PATH} was not found; run `dvc repro` first, from the repository's root")
    return _shipped(PATH.read_bytes(), str(PATH))


def cases_of(base: str) -> pd.DataFrame:
    """Read the cases of a commit, branch, tag or registered model; ComparisonError or ModelError without any."""
    if not base.strip():
        raise ComparisonError("the base to compare with is empty; name a commit, a branch, a tag or a registered model")
    if is_uri(base):
        with downloaded(base, CASES) as file:
            return _shipped(file.read_bytes(), f"{CASES} of {base}")
    try:
        git("rev-parse", "--verify", "--end-of-options", f"{base}^{{commit}}")
    except (RepositoryError, ValueError) as error:  # no argument of a process holds a null character
        raise ComparisonError(
            f"{base} is not a commit, branch or tag of this repository, nor a model of MLflow's such as "
            f"models:/nerveseg@champion; correct it (`git branch --all` lists the branches; {_fetched()}). {error}"
        ) from None
    try:
        content = committed(base, PATH)
    except RepositoryError:
        raise ComparisonError(f"{base} has no {PATH}; run `dvc repro` there and commit it, or name another") from None
    return _shipped(content.encode(), f"{PATH} of {base}")


def _fetched() -> str:
    with suppress(RepositoryError):
        if git("rev-parse", "--is-shallow-repository") == "true":
            return "`git fetch --unshallow` gets the commits that this shallow clone lacks"
    return "`git fetch` gets those of others"


def _shipped(content: bytes, source: str) -> pd.DataFrame:
    def refused(reason: str) -> ComparisonError:
        return ComparisonError(f"{source} {reason}; make it again with `dvc repro`")

    try:
        table = read_csv(io.StringIO(content.decode()))
    except ValueError as error:  # pandas' own errors, and bytes that are not text
        reason = "its text is not UTF-8" if isinstance(error, UnicodeError) else str(error).strip()
        raise refused(f"is not a table of cases ({reason})") from None
    if "model" not in table:
        raise refused("has no column `model`, or no commas between its columns")
    if not (ships := table["model"] == SHIPPED).any():
        raise refused(f"has no row of `{SHIPPED}`, the model that ships")
    found = table[ships]
    for column, highest in _HIGHEST.items():
        if column in found and not pd.to_numeric(found[column], errors="coerce").between(0, highest).all():
            expected = "numbers from 0 to 1" if highest == 1 else "numbers from 0 up"
            raise refused(f"has impossible values of `{SHIPPED}` in column {column}, expected {expected}")
    if "has_nerve" in found and found["has_nerve"].dtype != bool:
        raise refused("has values other than True and False in column has_nerve")
    return found
