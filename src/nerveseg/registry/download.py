"""The files of a registered model, fetched from MLflow.

`models:/NAME@ALIAS`, `models:/NAME/VERSION` and `models:/m-ID` are looked up in the store that the stages report to; nothing is
created in it. `nerveseg.registry.packaging` says what a registered model holds.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from nerveseg.errors import ModelError, TrackingError
from nerveseg.inference.model_folder import folder_of
from nerveseg.repository import repository_root
from nerveseg.text.missing_packages import not_installed
from nerveseg.tracking.store import opened, sqlite_file, store_uri
from nerveseg.tracking.store_errors import public, reason_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Parts of a registered model: the folder of its predictor, all of it, and the cases that the gate compares.
PREDICTOR, MODEL, CASES = "artifacts/predictor", "", "cases.csv"
_FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION or models:/m-ID"
_FORM = re.compile(r"models:/(?:(?P<id>m-\w+)|(?P<name>[^/]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[0-9]+)))")
_SHOWN = 10  # versions or models in a message


def is_uri(model: str) -> bool:
    return model.startswith("models:")


@contextmanager
def predictor_folder(model: str) -> Iterator[Path]:
    """Give a predictor's folder: `model` is that, a config file in it or an MLflow URI; ModelError if it is no use."""
    with downloaded(model) if is_uri(model) else nullcontext(folder_of(local_path(model))) as folder:
        yield folder


def local_path(model: str) -> Path:
    """Return the path of a model that is not an MLflow URI; ModelError for an address of another kind."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", model) and not Path(model).exists():
        raise ModelError(
            f"{public(model)} is an address that no model is read from; name a folder, such as models/exported, or one of {_FORMS}"
        )
    return Path(model)


@contextmanager
def downloaded(uri: str, part: str = PREDICTOR) -> Iterator[Path]:
    """Fetch a part of a logged or registered model into a temporary folder; ModelError if it is missing or unusable."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = _download(uri, temporary, part)
        try:
            yield folder
        except ModelError as error:
            raise ModelError(f"{uri}: {str(error).replace(f'{folder}/', '')}") from None


def _download(uri: str, target: str, part: str) -> Path:
    if (wanted := _FORM.fullmatch(uri)) is None:
        raise ModelError(f"{uri} names no model of MLflow's; expected {_FORMS}")
    store = store_of(uri)
    try:
        with opened(store) as client:
            location = _location(client, uri, wanted)
        from mlflow.artifacts import download_artifacts, list_artifacts

        def names(folder: str) -> list[str]:
            return sorted(Path(each.path).name for each in list_artifacts(folder, tracking_uri=store))

        found = names(location)
        folder, _, name = f"{location}/{part}".rstrip("/").rpartition("/")
        if found and (part == MODEL or (part.partition("/")[0] in found and name in names(folder))):
            return Path(download_artifacts(f"{folder}/{name}", dst_path=target, tracking_uri=store))
    except ModelError:
        raise
    except Exception as error:  # each kind of artifact store raises its own library's
        raise ModelError(
            f"{uri}: MLflow's store {public(store)} cannot be used ({reason_of(error)}); start the server or correct "
            "MLFLOW_TRACKING_URI, or name the folder of a model instead, such as models/exported"
        ) from error
    again = "`dvc repro --force evaluate` registers a new version"
    if not found:
        raise ModelError(f"{uri}: its files were not found in {public(location)}; restore them there, or {again}")
    raise ModelError(
        f"{uri}: it holds {', '.join(found)}, but no {part}, which older versions of nerveseg did not keep; {again} with it"
    )


def store_of(uri: str) -> str:
    if find_spec("mlflow") is None:
        raise ModelError(f"{uri}: {not_installed('mlflow')}")
    try:
        store = store_uri(repository_root())
    except TrackingError as error:
        raise ModelError(f"{uri}: {error}") from None
    if (file := sqlite_file(store)) and not file.is_file():
        raise ModelError(
            f"{uri}: MLflow's store {file} was not found; go to the repository where the model was registered, set "
            "MLFLOW_TRACKING_URI, or run `dvc repro` to get one registered"
        )
    return store


def _location(client: "MlflowClient", uri: str, wanted: re.Match[str]) -> str:
    from mlflow.exceptions import MlflowException

    name = wanted["name"]
    try:
        if wanted["id"]:
            return str(client.get_logged_model(wanted["id"]).artifact_location)
        aliases = {alias: int(version) for alias, version in client.get_registered_model(name).aliases.items()}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        names = [each.name for each in client.search_registered_models(max_results=_SHOWN)]
        missing = "no model has this id" if wanted["id"] else f"no model {name!r} is registered"
        raise ModelError(
            f"{uri}: {missing} in MLflow's store {public(client.tracking_uri)}, which has {', '.join(names) or 'none'}; "
            "correct the name, or run `dvc repro` to get a model registered"
        ) from None
    versions = sorted(int(each.version) for each in client.search_model_versions(f"name='{name}'"))
    version = aliases.get(wanted["alias"]) if wanted["alias"] else int(wanted["version"])
    if version not in versions:
        what = f"alias {wanted['alias']!r}" if wanted["alias"] else f"version {version}"
        shown = ", ".join(f"{alias} (version {number})" for alias, number in aliases.items()) or "none"
        kept = ("..., " if len(versions) > _SHOWN else "") + (", ".join(map(str, versions[-_SHOWN:])) or "none")
        how = ", or make the challenger the champion with `nerveseg promote`" if wanted["alias"] == "champion" else ""
        raise ModelError(f"{uri}: {name} has no {what}; found aliases: {shown}; versions: {kept}; name one{how}")
    return client.get_model_version_download_uri(name, str(version))
