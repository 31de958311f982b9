"""Failures of the MLflow store in one sentence: it does not answer, or it refuses."""

import errno
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten

from nerveseg.errors import StoreUnreachableError, TrackingError

_NOT_NOW = {401, 408, 429}  # HTTP statuses of requests that may succeed later
_NO_JSON = "not in a valid JSON format"  # MLflow's words if something else answered, as the login page of a network
_NO_LOGIN = "Databricks credential configuration failed"
_TRUST = "set MLFLOW_TRACKING_SERVER_CERT_PATH to the PEM file of the authority that signed its certificate"
_REMEDIES = {  # of failures that do not pass, by their words
    _NO_LOGIN: "log in with `databricks auth login`",
    "Hostname mismatch": "name the server as its certificate does",
    "certificate has expired": "have the server's certificate renewed",
    "CERTIFICATE_VERIFY_FAILED": _TRUST,
    "TLS CA certificate bundle": _TRUST,  # the user's file is missing
    "out-of-date database schema": "back it up and run `mlflow db upgrade` with its address, use the MLflow that made it",
    "WRONG_VERSION_NUMBER": "write http:// instead of https://",
    "Missing dependencies for SOCKS": "`pip install 'requests[socks]'`",
}
_NO_DATABASE = ("file is not a database", "malformed", "unsupported file format")
_OF_THIS_FILE = {errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}
_PACKAGES = {"psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}  # those of modules that are called otherwise
_LOGIN = re.compile(r"://(?!/)\S*@([^\s:/?#\[&]*)(?::(?!\d)[^\s/?#&'\")]*)?(\S*)")
_SECRET = re.compile(
    r"([?&;][^=&\s]*(?:pass|pwd|secret|token|key|cred|sig|odbc_connect)[^=&\s]*=)[^&\s]*", re.IGNORECASE
)
_TOO_LARGE = 413  # HTTP status
_SERVER_ERROR = 500  # HTTP status; also MLflow's own for a server that it did not reach

# Defaults for variables that the user has not set. By its own, MLflow keeps asking a server that is down for minutes; with
# one retry, which comes at once, a tenth of a second.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "GIT_PYTHON_REFRESH": "quiet",
}


@contextmanager
def failing_clearly(uri: str) -> Iterator[None]:
    """Raise failures of the store at `uri` as a TrackingError in one sentence."""
    settle_environment()
    try:
        yield
    except store_errors() as error:
        kind, remedy = (StoreUnreachableError, "start the server or ") if _is_silent(error) else (TrackingError, "")
        raise kind(_explain(uri, error, remedy)) from error


@contextmanager
def passing_over(code: str) -> Iterator[None]:
    """End the block without an error if MLflow raises one of this code, such as RESOURCE_DOES_NOT_EXIST."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != code:
            raise


def store_errors() -> tuple[type[Exception], ...]:
    """Return what a store or its libraries raise, with boto3's for artifacts in S3."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    errors: tuple[type[Exception], ...] = (MlflowException, SQLAlchemyError, OSError, ImportError)
    if "botocore" in sys.modules:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        errors += (Boto3Error, BotoCoreError, ClientError)
    return errors


def reason_of(error: BaseException) -> str:
    """Return the root cause in one line without passwords, such as "Connection refused"."""
    by = "the proxy in HTTP_PROXY or HTTPS_PROXY: " if "connect to proxy" in str(error) else ""
    cause = error
    while deeper := cause.__cause__ or cause.__context__:
        cause = deeper
    if isinstance(cause, OSError) and cause.strerror:
        return by + public(f"{cause.strerror}: {cause.filename}" if cause.filename else cause.strerror)
    told = next(iter(str(cause).splitlines()), "") or type(cause).__name__
    limit = "; raise the limit of the web server before MLflow" if _status(cause) == _TOO_LARGE else ""
    return by + shorten(public(told), 300, placeholder=" ...") + limit


def public(text: str) -> str:
    """Return the text without the secrets in its addresses: the login, which ends at the last @, since a password may hold
    anything and the name may be a token; after a login, a port that is no number; values of a query whose names tell of a secret.
    """

    def without_login(found: re.Match[str]) -> str:
        if _SECRET.search(
            text, found.start(), found.start(2)
        ):  # whether the @ ends a login or is in the secret, nobody knows
            return "://***" + "".join(found[2].partition("&")[1:])
        return f"://***@{found[1]}{found[2]}"

    return _SECRET.sub(r"\1***", _LOGIN.sub(without_login, text))


def is_final(error: BaseException) -> bool:
    """Return whether sending the same again is useless: the store refuses it, or a file here cannot be read."""
    if status := _status(error):
        return status < _SERVER_ERROR and status not in _NOT_NOW and _NO_JSON not in str(error)
    return isinstance(error, OSError) and error.errno in _OF_THIS_FILE


def is_lost_race(error: BaseException) -> bool:
    """Return whether another process wrote the same row at the same moment. MLflow looks first, then adds: sent again, it
    finds that row.
    """
    return "IntegrityError" in str(error) or "UniqueViolation" in str(error)  # of SQLAlchemy by any driver


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of MLflow's answer, or of a server between, which files pass; None if nothing answered."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return int(error.get_http_status_code())
    return getattr(getattr(error, "response", None), "status_code", None)


def _is_silent(error: Exception) -> bool:
    """Return whether the store does not answer, which may pass, rather than refuses."""
    from mlflow.exceptions import InvalidUrlException, MlflowException
    from sqlalchemy.exc import DBAPIError

    if isinstance(error, InvalidUrlException) or any(told in str(error) for told in _REMEDIES):
        return False
    if isinstance(error, MlflowException):
        deeper = error.__cause__ or error.__context__
        if isinstance(deeper, DBAPIError):
            return _is_silent(deeper)
    if status := _status(error):
        return status >= _SERVER_ERROR or status in _NOT_NOW - {401} or _NO_JSON in str(error)
    if isinstance(error, DBAPIError):  # locked, read-only, full, or a database server that is away
        return not any(told in str(error) for told in _NO_DATABASE)
    return isinstance(error, OSError)


def _explain(uri: str, error: BaseException, remedy: str) -> str:
    if getattr(error, "error_code", "") == "UNAUTHENTICATED":
        return (
            f"MLflow's server {public(uri)} does not know this login; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD to an account on it, or turn tracking off: tracking.enabled: false in params.yaml"
        )
    reason = "no login to Databricks was found" if _NO_LOGIN in str(error) else reason_of(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        remedy = f"`pip install {_PACKAGES.get(error.name, error.name)}` or "
    helps = next((helps for told, helps in _REMEDIES.items() if told in str(error)), "")
    remedy = f"{helps} or " if helps else remedy
    if "MLFLOW_TRACKING_URI" in os.environ:
        remedy += "correct MLFLOW_TRACKING_URI, unset it to use mlflow.db at the repository's root"
    elif helps:
        remedy = helps
    elif any(told in reason for told in _NO_DATABASE):
        remedy = "move that file away so that a new one is made"
    else:
        remedy = "end the program that holds the file, or make the file and its folder writable"
    return (
        f"MLflow's store {public(uri)} cannot be used ({reason}); {remedy}, "
        "or turn tracking off: tracking.enabled: false in params.yaml"
    )


def settle_environment() -> None:
    """Set defaults for MLflow, which reads some of them when it is imported."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # They print a line or a traceback each time that a server is down or a database locked.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
