"""Files that go to MLflow, on their way through a journal."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def copied(path: Path, folder: Path) -> Path:
    return Path((shutil.copytree if path.is_dir() else shutil.copy2)(path, folder / path.name))


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """MLflow makes a model by way of temporary files, as large as it is; there may be no room elsewhere."""
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
