"""A model's way back from MLflow: a URI of MLflow's becomes the folder of a predictor, or another part of it.

`models:/NAME@ALIAS`, `models:/NAME/VERSION` and `models:/m-ID` are looked up in the store that the stages report to
(`store`), where nothing is created for it. What a registered model holds, `packaging` says.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from nerveseg.errors import ModelError, TrackingError
from nerveseg.inference.model_folder import folder_of
from nerveseg.repository import repository_root
from nerveseg.tracking.store import opened, sqlite_file, store_uri
from nerveseg.tracking.store_errors import public, reason_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREDICTOR = "artifacts/predictor"  # folder of the whole predictor in a registered model
MODEL = ""  # the whole of it, as MLflow loads it
CASES = "cases.csv"  # those of its test frames, which the gate compares
_FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION or models:/m-ID"
_FORM = re.compile(r"models:/(?:(?P<id>m-\w+)|(?P<name>[^/]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[0-9]+)))")
_SHOWN = 10  # versions or models in a message


def is_uri(model: str) -> bool:
    return model.startswith("models:")


@contextmanager
def predictor_folder(model: str) -> Iterator[Path]:
    """The folder of a predictor during the block: a folder, that of a config file in one, or that of an MLflow URI.

    Raises:
        ModelError: there is none, or the block could not use it.
    """
    with downloaded(model) if is_uri(model) else nullcontext(folder_of(local_path(model))) as folder:
        yield folder


def local_path(model: str) -> Path:
    """Return the path of a model that is no MLflow URI.

    Raises:
        ModelError: it is another address.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", model) and not Path(model).exists():
        raise ModelError(
            f"{model} is an address that no model is read from; name a folder, as models/exported, or one of {_FORMS}"
        )
    return Path(model)


@contextmanager
def downloaded(uri: str, part: str = PREDICTOR) -> Iterator[Path]:
    """The predictor's folder, or another part, of a logged or registered model, which is gone after the block.

    Raises:
        ModelError: the store, the model or its predictor is not there, or the block could not use the folder.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = _download(uri, Path(temporary), part)
        try:
            yield folder
        except ModelError as error:
            raise ModelError(f"{uri}: {str(error).replace(f'{folder}/', '')}") from None


def _download(uri: str, target: Path, part: str) -> Path:
    if (asked := _FORM.fullmatch(uri)) is None:
        raise ModelError(f"{uri} names no model of MLflow's; expected {_FORMS}")
    store = store_of(uri)
    with _failing_clearly(uri, store):
        with opened(store) as client:
            location = _location(client, uri, asked)
        from mlflow.artifacts import download_artifacts, list_artifacts

        def names(folder: str) -> list[str]:
            return sorted(Path(each.path).name for each in list_artifacts(folder, tracking_uri=store))

        found = names(location)
        if part == MODEL and found:
            return Path(download_artifacts(location, dst_path=str(target), tracking_uri=store))
        folder, _, name = f"{location}/{part}".rpartition("/")
        if part.partition("/")[0] in found and name in names(folder):
            return Path(download_artifacts(f"{location}/{part}", dst_path=str(target), tracking_uri=store))
    again = "`dvc repro --force evaluate` registers a new version"
    if not found:
        raise ModelError(f"{uri}: no file of it was found in {public(location)}; bring them back there, or {again}")
    raise ModelError(
        f"{uri}: {', '.join(found)} were found in it, but no {part}, which older versions of nerveseg did not "
        f"keep; {again} with it"
    )


def store_of(uri: str) -> str:
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


@contextmanager
def _failing_clearly(uri: str, store: str) -> Iterator[None]:
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # each kind of artifact store raises its own library's
        raise ModelError(
            f"{uri}: MLflow's store {public(store)} cannot be used ({reason_of(error)}); start the server or correct "
            "MLFLOW_TRACKING_URI, or name the folder of a model instead, as models/exported"
        ) from error


def _location(client: "MlflowClient", uri: str, asked: re.Match[str]) -> str:
    """Where the files of a model lie."""
    from mlflow.exceptions import MlflowException

    name = asked["name"]
    try:
        if asked["id"]:
            return str(client.get_logged_model(asked["id"]).artifact_location)
        aliases = {alias: int(version) for alias, version in client.get_registered_model(name).aliases.items()}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        names = [each.name for each in client.search_registered_models(max_results=_SHOWN)]
        missing = "no model has this id" if asked["id"] else f"no model {name!r} is registered"
        raise ModelError(
            f"{uri}: {missing} in MLflow's store {public(client.tracking_uri)}, which has {', '.join(names) or 'none'}; "
            "correct the name, or run `dvc repro` to get a model registered"
        ) from None
    versions = sorted(int(each.version) for each in client.search_model_versions(f"name='{name}'"))
    version = aliases.get(asked["alias"]) if asked["alias"] else int(asked["version"])
    if version not in versions:
        wanted = f"alias {asked['alias']!r}" if asked["alias"] else f"version {version}"
        shown = ", ".join(f"{alias} (version {number})" for alias, number in aliases.items()) or "none"
        kept = ("..., " if len(versions) > _SHOWN else "") + (", ".join(map(str, versions[-_SHOWN:])) or "none")
        made = ", or make the challenger the champion with `nerveseg promote`" if asked["alias"] == "champion" else ""
        raise ModelError(
            f"{uri}: {name} has no {wanted}; found aliases: {shown}; versions: {kept}; name one of these{made}"
        )
    return client.get_model_version_download_uri(name, str(version))
