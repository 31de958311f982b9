"""Makes a version of the registered model the champion, if it passes the gate.

The champion (`models:/NAME@champion`) is the version that is served. A new version is compared with it on the test frames of both;
each registered model keeps its cases for that. The conclusion becomes the version's tag `nerveseg.gate`. Without a champion, any
version passes that outlines a nerve on some test frame.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from nerveseg.errors import ComparisonError, ModelError, NervesegError
from nerveseg.registry.download import store_of
from nerveseg.registry.gate import judge
from nerveseg.registry.gate_table import as_text, conclusion
from nerveseg.registry.project_params import ProjectParams
from nerveseg.registry.shipped_cases import cases_of
from nerveseg.text.foreign_text import on_one_line
from nerveseg.tracking.messages import CHALLENGER, KEY_TAG
from nerveseg.tracking.store import opened
from nerveseg.tracking.store_errors import failing_clearly, passing_over

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
GATE_TAG = "nerveseg.gate"
DRAWS_NOTHING = "outlines no nerve on any test frame, though some show one"
_LONGEST_TAG = 5000  # characters; MLflow's older stores refuse more


@dataclass(frozen=True)
class Promotion:
    """Whether the version is the champion now, and what to print: the gate's table and the outcome."""

    promoted: bool
    told: str


def promote(params: ProjectParams, version: int | None = None) -> Promotion:
    """Make a version, or the challenger, the champion if it passes the gate; ComparisonError if it cannot be judged."""
    name = params.tracking.model_name
    store = store_of(f"models:/{name}@{CHALLENGER}")
    with failing_clearly(store), opened(store) as client:
        aliases = _aliases(client, name)
    version = aliases.get(CHALLENGER) if version is None else version
    now = cases_of(f"models:/{name}@{CHALLENGER}" if version is None else f"models:/{name}/{version}")
    while True:
        champion = aliases.get(CHAMPION)
        if champion == version:
            return Promotion(promoted=True, told=f"{name} version {version} is the champion already")
        try:
            passed, tag, table = _outcome(now, champion, params)
        except (ComparisonError, ModelError) as error:
            passed, tag, table = False, f"not comparable with version {champion}: {error}", None
        with failing_clearly(store), opened(store) as client:
            aliases = _aliases(client, name)
            if aliases.get(CHAMPION) != champion:
                continue  # another process has made another version the champion: compare with that one
            client.set_model_version_tag(name, str(version), GATE_TAG, tag[:_LONGEST_TAG])
            if passed:
                client.set_registered_model_alias(name, CHAMPION, str(version))
        if table is None:
            raise ComparisonError(
                f"{name} version {version} is {tag}; if you no longer need that champion, give this version the alias "
                f"{CHAMPION} by hand, on its page in MLflow"
            )
        stays = "there is still no" if champion is None else f"version {champion} stays the"
        became = f"is the {CHAMPION} now" if passed else f"is not promoted; {stays} {CHAMPION}"
        return Promotion(passed, f"{table}\n{name} version {version} {became}")


def draws_nothing(cases: pd.DataFrame) -> bool:
    """Return whether the masks of a model are all empty, though some of the frames show a nerve."""
    known = {"has_nerve", "predicted_area"} <= {*cases}
    return bool(known and cases["has_nerve"].any() and not cases["predicted_area"].any())


def promote_where_asked(params: ProjectParams, model: str) -> None:
    """If `tracking.promote` is set, promote what `log_model` returned as `model`, and print the outcome or error."""
    if not (params.tracking.enabled and params.tracking.promote):
        return
    try:
        print(promote(params, _version_of(params.tracking.model_name, model)).told)
    except NervesegError as error:
        print(f"not promoted: {on_one_line(error)}")


def _version_of(name: str, model: str) -> int:
    store = store_of(f"models:/{name}@{CHALLENGER}")
    with failing_clearly(store), opened(store) as client:
        found = client.search_model_versions(f"name='{name}' and tags.`{KEY_TAG}` = '{model}'")
    if not found:
        raise ModelError(f"MLflow lacks this version of {name} yet; run `nerveseg sync`, then `nerveseg promote`")
    return int(found[0].version)


def _outcome(now: pd.DataFrame, champion: int | None, params: ProjectParams) -> tuple[bool, str, str]:
    """Return whether the cases pass, the tag that says so, and the table for a terminal."""
    if champion is None and draws_nothing(now):
        return (
            False,
            f"failed: it {DRAWS_NOTHING}",
            f"there is no champion to compare with, but this version {DRAWS_NOTHING}",
        )
    if champion is None:
        return True, "passed: the first champion, with nothing to compare", "there is no champion to compare with"
    base = f"version {champion}"
    of_champion = cases_of(f"models:/{params.tracking.model_name}/{champion}")
    verdict = judge(of_champion, now, params.gate, params.evaluate.bootstrap, params.seed)
    return verdict.passed, conclusion(verdict, base), as_text(verdict, base)


def _aliases(client: "MlflowClient", name: str) -> dict[str, int]:
    """Return versions by alias; none if no such model is registered."""
    aliases = dict[str, str]()
    with passing_over("RESOURCE_DOES_NOT_EXIST"):
        aliases = client.get_registered_model(name).aliases
    return {alias: int(version) for alias, version in aliases.items()}
