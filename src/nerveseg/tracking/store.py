"""The MLflow store, and how to open it.

`MLFLOW_TRACKING_URI` names the store. If it is not set, the store is SQLite: `mlflow.db` at the repository's root, with
artifacts in `mlartifacts/` beside it. Queued and `--temp` experiments, which DVC runs in a copy under `.dvc/tmp/exps/`, use
the same root. A SQLite store is opened under a file lock, because processes that create its tables at the same time crash.

MLflow is imported inside functions, since that takes a second.
"""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from filelock import FileLock

from nerveseg.errors import TrackingError
from nerveseg.repository import repository_root
from nerveseg.tracking.artifacts import BESIDE_TAG, artifacts_beside, keep_beside
from nerveseg.tracking.runs_view import view_tags
from nerveseg.tracking.store_errors import failing_clearly, passing_over, public, settle_environment

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK_SECONDS = 30.0
_KIND = {"mlflow.experimentKind": "custom_model_development"}  # shows runs with curves, not traces of agents
# localhost:5000, user:password@mlflow.example.org:5000/team, mlflow.example.org, [::1]:5000; folders have no port or two dots
_ADDRESS = re.compile(
    r"(?:[^/\s]*@)?(?:localhost|(?:[\w-]+\.){2,}\w+(?::[0-9]+)?|(?:[\w.-]+|\[[0-9a-fA-F:]+\]):[0-9]+)(?:/\S*)?"
)
_SCHEME = re.compile(r"(?!file:)\W*([\w.+-]{2,}):/*|databricks\S*")
_KNOWN = re.compile(r"(?:https?|(?:postgresql|mysql|mssql)(?:\+\w+)?)://[^/\s]|sqlite:///|databricks(?:://\S+)?$")
# A variable of a shell or of Windows (%C3%A9 is a letter), a place to fill in, a drive
_VARIABLE = re.compile(r"[$<>]|%[A-Za-z_]\w*%(?![0-9A-Fa-f]{2})|^[A-Za-z]:[/\\]")
# What would be read as another host, and so be told in an error; host:5000/a is no login
_NO_LOGIN_OF_DATABASE = re.compile(r"[\s\[\]]|^[^:/]*:[^@]*@")
_NO_LOGIN_OF_SERVER = re.compile(r"[\s\[\]]|^[^:/?#]*:(?![0-9]+/)[^@/?#]*[/?#]")


@dataclass(frozen=True)
class Store:
    """An open MLflow store and the experiment in it that takes the runs."""

    uri: str
    client: "MlflowClient"
    experiment_id: str

    @contextmanager
    def as_default(self) -> Iterator[None]:
        """Make this MLflow's own store, for the few calls that take no client."""
        before = os.environ.get("MLFLOW_TRACKING_URI")
        os.environ["MLFLOW_TRACKING_URI"] = self.uri
        try:
            yield
        finally:
            if before is None:
                del os.environ["MLFLOW_TRACKING_URI"]
            else:
                os.environ["MLFLOW_TRACKING_URI"] = before


def store_uri(root: Path) -> str:
    """Return the store's address: the user's, with a relative SQLite file resolved against `root`, or the default.

    PostgreSQL is read with the driver of the `server` extra if the address names none. Raise TrackingError if the
    user's address has no scheme, one that neither MLflow nor a plugin of it knows, an impossible host or port, or is a
    folder, which MLflow 3 does not write to, or a database in memory.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or "sqlite:///mlflow.db"
    uri = re.sub(r"^\w[\w+.-]*://", lambda scheme: scheme[0].lower(), uri)
    bare_login = "@" in uri and "://" not in uri and not uri.startswith(("/", "."))
    address = public(f"://@{uri.rpartition('@')[2]}").removeprefix("://") if bare_login else public(uri)
    if bare_login or _ADDRESS.fullmatch(uri):
        raise TrackingError(
            f"MLFLOW_TRACKING_URI is {address!r}, an address without its scheme; set it to http://{address}, or to "
            f"https://{address} where the server has a certificate"
        )
    if not _KNOWN.match(uri) and (scheme := _SCHEME.match(uri)):
        if entry_points(group="mlflow.tracking_store", name=scheme[1]):
            return uri
        raise TrackingError(
            f"MLFLOW_TRACKING_URI begins with {scheme[0]!r}; set it to the address of a server, as http://host:5000 or "
            "https://host, or of a database: sqlite:///<file>, postgresql://, mysql:// or mssql://, without quotes"
        )
    if not _KNOWN.match(uri):
        raise TrackingError(
            f"MLFLOW_TRACKING_URI is {address!r}, a folder, which MLflow 3 no longer writes to; unset it to use mlflow.db "
            "at the repository's root, or set it to sqlite:///<file> or the address of a server"
        )
    if uri.startswith("sqlite:///"):
        return _sqlite(uri, root)
    login, _, place = uri.partition("://")[2].rpartition("@")
    if (_NO_LOGIN_OF_DATABASE if is_database(uri) else _NO_LOGIN_OF_SERVER).search(login):
        raise TrackingError(
            "the password in MLFLOW_TRACKING_URI has a character that means something in an address; write % and its code "
            "instead, for example %40 for @, %2F for / and %20 for a space"
        )
    try:
        _ = uri.startswith("databricks") or urlsplit("//" + place).port  # databricks://scope:prefix has none
    except ValueError as error:
        reason = re.sub("'.*'", "***", str(error))  # it quotes what may be a password
        raise TrackingError(
            f"MLFLOW_TRACKING_URI is {address!r}, which is no address ({reason}); correct it, for example to http://host:5000"
        ) from None
    return re.sub("^postgresql://", "postgresql+psycopg2://", uri)


def is_database(uri: str) -> bool:
    """Return whether the store at `uri` is a database; others are servers."""
    return uri.startswith(("sqlite:", "postgresql", "mysql", "mssql"))


def open_store(experiment: str) -> Store:
    """Open the store, and create it and its experiment if missing; TrackingError if it fails, or they were deleted."""
    root = repository_root()
    uri = store_uri(root)
    with failing_clearly(uri), opened(uri) as client:
        if not (found := client.get_experiment_by_name(experiment)):
            artifacts = artifacts_beside(sqlite_file(uri) or root / "mlflow.db") if is_database(uri) else None
            # The view is set with the experiment: setting a tag later fails if two processes do it at once.
            tags = _KIND | view_tags() | ({BESIDE_TAG: "true"} if artifacts else {})  # a server has a place of its own
            with passing_over("RESOURCE_ALREADY_EXISTS"):  # another process may have been faster
                client.create_experiment(experiment, artifacts, tags)
            found = client.get_experiment_by_name(experiment)
        if not (found and found.experiment_id):
            raise ConnectionError("the server is not MLflow's")
    if found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"MLflow's experiment {experiment!r} in {public(uri)} was deleted; bring it back with `mlflow experiments "
            f"restore --experiment-id {found.experiment_id}`, or set another name in params.yaml: tracking.experiment"
        )
    return Store(uri, client, str(found.experiment_id))


@contextmanager
def opened(uri: str) -> Iterator["MlflowClient"]:
    """Return a client of the store at `uri`. No other process opens the same SQLite file during the block."""
    settle_environment()
    from mlflow import MlflowClient

    with ExitStack() as locks:
        if file := sqlite_file(uri):
            file.parent.mkdir(parents=True, exist_ok=True)
            locks.enter_context(FileLock(f"{file}.lock", timeout=LOCK_SECONDS))
        if is_database(uri):
            _check_database(uri)
        yield MlflowClient(tracking_uri=uri)


def _sqlite(uri: str, root: Path) -> str:
    name = unquote(uri.removeprefix("sqlite:///"))
    if name == ":memory:" or "?" in uri or os.path.isdir(root / name):  # noqa: PTH112 - Path's raises
        raise TrackingError(
            f"MLFLOW_TRACKING_URI is {public(uri)!r}; SQLite needs a file without options, for example sqlite:///mlflow.db"
        )
    typed = uri.removeprefix("sqlite:///")
    if (expanded := os.path.expandvars(os.path.expanduser(typed))) != typed or _VARIABLE.search(typed):  # noqa: PTH111 - Path's raises
        meant = "sqlite:/// and the path itself" if _VARIABLE.search(expanded) else f"sqlite:///{expanded}"
        raise TrackingError(f"MLFLOW_TRACKING_URI is {uri!r}, but ~ $ % <> and drives mean nothing; set it to {meant}")
    path = str(root / name)
    # MLflow makes the file's folder from the address as it stands; in one without slashes it finds none to make.
    return f"sqlite:///{quote(path, safe='') if {'%', '?'} & set(path) else path}"


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite store, None for any other."""
    return Path(unquote(uri.removeprefix("sqlite:///"))) if uri.startswith("sqlite:///") else None


def _check_database(uri: str) -> None:
    """Ask the database once. MLflow would ask ten times, for two minutes, with a page of warnings."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri)
    try:
        tables = sqlalchemy.inspect(engine).get_table_names()
        if (file := sqlite_file(uri)) and "logged_models" in tables:
            with engine.begin() as connection:
                keep_beside(file, connection)
    finally:
        engine.dispose()
