"""A shared tracking server as a team runs it, on loopback, for tests and `bench/`.

PostgreSQL from the distribution's package keeps runs and logins, moto stands in for an S3-compatible store of artifacts,
and `mlflow server` with its own authentication answers in front of both, so that a client needs a login and no keys.
Each is a process of its own on a free port, and is gone after its block, whatever happened in it. PostgreSQL refuses
to run as root; started by root, it runs as `postgres` or `nobody`.
"""

import contextlib
import http.client
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from processes import PATIENCE, free_port

BUCKET = "team"
_KEYS = {"AWS_ACCESS_KEY_ID": "store", "AWS_SECRET_ACCESS_KEY": "of-the-store", "AWS_DEFAULT_REGION": "us-east-1"}
_DEBIAN = Path("/usr/lib/postgresql")  # where Debian and Ubuntu keep each version's programs, off the PATH


class Login(NamedTuple):
    """Who asks an MLflow server, which wants at least twelve characters in a password."""

    name: str
    password: str


ADMIN = Login("admin", "of-the-administrator")
MEMBER = Login("ada", "of-a-member-of-the-team")


@dataclass(frozen=True)
class ObjectStore:
    """An S3-compatible store with one bucket; `environment` holds what a program needs to reach it."""

    endpoint: str
    bucket: str = BUCKET

    @property
    def environment(self) -> dict[str, str]:
        return {**_KEYS, "AWS_ENDPOINT_URL": self.endpoint, "MLFLOW_S3_ENDPOINT_URL": self.endpoint}

    def keys(self, prefix: str = "") -> list[str]:
        """What lies in the bucket."""
        pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [str(each["Key"]) for page in pages for each in page.get("Contents", [])]

    def make_bucket(self) -> None:
        self._client().create_bucket(Bucket=self.bucket)

    def _client(self) -> Any:  # boto3 makes its clients' classes as it runs
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=_KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=_KEYS["AWS_SECRET_ACCESS_KEY"],
            region_name=_KEYS["AWS_DEFAULT_REGION"],
        )


@dataclass
class SharedServer:
    """`mlflow server` between `database` and `objects`; it can be killed and started again at the same address."""

    folder: Path
    database: str
    objects: ObjectStore
    port: int
    workers: int
    logins_kept: int  # seconds for which a worker remembers a login; 0: it hashes the password again for each request
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client_environment(self, login: Login = MEMBER) -> dict[str, str]:
        """What a member of the team exports."""
        return {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_TRACKING_USERNAME": login.name,
            "MLFLOW_TRACKING_PASSWORD": login.password,
        }

    def start(self) -> None:
        """Returns when it answers; nothing, where it runs."""
        if self._process is not None:
            return
        logins = self.folder / "logins.ini"
        logins.write_text(
            "[mlflow]\n"
            "default_permission = EDIT\n"
            f"database_uri = {self.database}\n"
            f"admin_username = {ADMIN.name}\n"
            f"auth_cache_ttl_seconds = {self.logins_kept}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", str(self.workers)]
        command += ["--artifacts-destination", f"s3://{self.objects.bucket}/mlflow"]
        environment = {
            **_without_mlflow(os.environ),
            **self.objects.environment,
            "MLFLOW_BACKEND_STORE_URI": self.database,  # not on the command line, which everyone on the machine can read
            "MLFLOW_AUTH_CONFIG_PATH": str(logins),
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN.password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "signs-the-cookies-of-the-login-page",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes for what nerveseg does not use
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        log = self.folder / "mlflow.log"
        self._process = _start(command, log, environment, self.folder)
        _wait(lambda: _answers(self.port, "/health"), self._process, log)

    def kill(self) -> None:
        """As a power cut would: nothing that it was doing is finished."""
        if self._process is not None:
            _kill(self._process)
            self._process = None

    def add(self, login: Login) -> None:
        """An account, which the administrator makes."""
        from mlflow.server.auth.client import AuthServiceClient

        with _environment(self.client_environment(ADMIN)):
            AuthServiceClient(self.uri).create_user(login.name, login.password)


@contextmanager
def shared_server(folder: Path, workers: int = 2, logins_kept: int = 60) -> Iterator[SharedServer]:
    """PostgreSQL, a store of objects and an MLflow server with the accounts ADMIN and MEMBER; logs go to `folder`."""
    with postgresql(folder) as database, object_store(folder) as objects:
        server = SharedServer(folder, database, objects, free_port(), workers, logins_kept)
        try:
            server.start()
            server.add(MEMBER)
            yield server
        finally:
            server.kill()


def postgresql_programs() -> Path | None:
    """The folder of PostgreSQL's server programs, the newest version's; None where it is not installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    installed = [folder for folder in _DEBIAN.glob("*/bin") if (folder / "initdb").exists()]
    return max(installed, key=lambda folder: float(folder.parent.name), default=None)


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """The address of an empty database, for SQLAlchemy; its server's log goes to `folder`."""
    if (programs := postgresql_programs()) is None:
        raise FileNotFoundError("PostgreSQL is not installed; on Debian and Ubuntu: apt-get install postgresql")
    account = _account()
    # Not in `folder`: another user must reach it, and the folders that pytest makes are closed to others.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as made:
        home, log, password = Path(made), folder / "postgresql.log", "of-the-database"
        (home / "password").write_text(password)
        if account:
            for path in (home, home / "password"):
                shutil.chown(path, account)
        port = free_port()
        data = str(home / "data")
        initialise = [str(programs / "initdb"), "--pgdata", data, "--username", "mlflow", "--encoding", "UTF8"]
        initialise += ["--locale", "C", "--auth", "scram-sha-256", "--pwfile", str(home / "password"), "--no-sync"]
        run = [str(programs / "postgres"), "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", "", "-c", "fsync=off"]
        creation = _start(initialise, log, os.environ, home, account)
        if creation.wait(PATIENCE):
            raise RuntimeError(f"initdb failed: {log.read_text()}")
        server = _start(run, log, os.environ, home, account)
        try:
            _wait(lambda: _accepts(programs, port), server, log)
            yield f"postgresql+psycopg2://mlflow:{password}@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown: it ends its clients and itself
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(20)
            _kill(server)


@contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    """A store that speaks S3, with its bucket; it keeps everything in memory."""
    port, log = free_port(), folder / "objects.log"
    script = Path(sys.executable).parent / "moto_server"
    process = _start([sys.executable, str(script), "-H", "127.0.0.1", "-p", str(port)], log, os.environ, folder)
    try:
        store = ObjectStore(f"http://127.0.0.1:{port}")
        _wait(lambda: _answers(port, "/moto-api/"), process, log)
        store.make_bucket()
        yield store
    finally:
        _kill(process)


def _account() -> str | None:
    """Whom PostgreSQL runs as; None: as the user of this process."""
    if os.geteuid() != 0:
        return None
    known = {each.pw_name for each in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _start(
    command: list[str], log: Path, environment: Mapping[str, str], folder: Path, account: str | None = None
) -> "subprocess.Popen[bytes]":
    group = pwd.getpwnam(account).pw_gid if account else None
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            user=account,
            group=group,
            extra_groups=[] if account else None,
            start_new_session=True,  # Ctrl-C ends the tests, and they end their servers
        )


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """With what it started: MLflow's workers outlive its first process."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            _kill(process)
            raise RuntimeError(f"a server did not start: {log.read_text()[-4000:]}")
        time.sleep(0.1)


def _answers(port: int, path: str) -> bool:
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        asked.request("GET", path)
        return asked.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asked.close()


def _accepts(programs: Path, port: int) -> bool:
    asked = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(asked, check=False).returncode == 0


def _without_mlflow(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("MLFLOW_")}


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
