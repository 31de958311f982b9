"""The tables of a new MLflow store, made once for all tests: MLflow takes seconds for its migrations."""

import sqlite3
from contextlib import closing
from pathlib import Path

from filelock import FileLock


def tables_made_once(folder: Path) -> Path:
    """A SQLite store with no more than its tables, in a folder that test processes may share."""
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - registers all tables
    from mlflow.store.db import utils
    from sqlalchemy import create_engine

    kept = folder / "mlflow-tables.db"
    with FileLock(folder / "mlflow-tables.lock"):
        if not kept.exists():
            part = kept.with_suffix(".part")
            utils._initialize_tables(create_engine(f"sqlite:///{part}"))
            part.rename(kept)
    return kept


def copy_tables(patch, kept: Path) -> None:
    """Have MLflow in this process copy the tables of a new SQLite store from that one."""
    from mlflow.store.db import utils

    made = utils._initialize_tables

    def copied(engine) -> None:
        if engine.dialect.name != "sqlite":
            made(engine)
            return
        with closing(sqlite3.connect(kept)) as tables, closing(engine.raw_connection()) as new:
            tables.backup(new.driver_connection)

    patch.setattr(utils, "_initialize_tables", copied)
