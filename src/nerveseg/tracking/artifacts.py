"""Keep a SQLite store's artifacts in a folder beside it, even if the repository is moved or copied.

MLflow stores absolute addresses. If the store was moved, its experiments are pointed to the folder beside it, and so are
runs and models whose files were moved with it. Those whose files were not keep their addresses.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection

BESIDE_TAG = "nerveseg.artifacts_beside_store"  # of experiments that we made; of others a user chose the place
_NAME = "mlartifacts"
_ADDRESSES = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)


def artifacts_beside(file: Path) -> str:
    """Return the address of the artifacts' folder of a store in this file."""
    return (file.parent / _NAME).absolute().as_uri()


def keep_beside(file: Path, connection: "Connection") -> None:
    """Point the addresses in the store to where its file is now."""
    from sqlalchemy import text

    def execute(statement: str, **values: str) -> Any:
        return connection.execute(text(statement), values)

    here = artifacts_beside(file)
    moved = execute(
        "select e.experiment_id, e.artifact_location from experiments e join experiment_tags t "
        "on t.experiment_id = e.experiment_id where t.key = :tag and e.artifact_location != :here",
        tag=BESIDE_TAG, here=here,
    ).all()  # fmt: skip
    for experiment, before in moved:
        execute(
            "update experiments set artifact_location = :here where experiment_id = :one", here=here, one=experiment
        )
        for table, column in _ADDRESSES:
            named = f"select distinct {column} from {table} where {column} like :below"  # noqa: S608 - names of ours
            for address in execute(named, below=f"{before}/%").scalars().all():
                below = address.removeprefix(f"{before}/")
                if address != below and (file.parent / _NAME / below).exists():
                    renamed = f"update {table} set {column} = :now where {column} = :before"  # noqa: S608
                    execute(renamed, now=f"{here}/{below}", before=address)
