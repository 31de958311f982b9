"""DVC's experiments and the code that they run, read from Git, which takes milliseconds."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from nerveseg.errors import DatasetError, RepositoryError
from nerveseg.repository import changes, git

_READ_BY_THE_PIPELINE = ("params.yaml", "dvc.yaml", "src", "stages", "data", "models")


def code() -> dict[str, str]:
    """Return a trial's commit and a digest of the changes to it; DatasetError if there is no commit."""
    with _in_a_repository():
        patch = changes(_READ_BY_THE_PIPELINE, new_files=False)
        digest = hashlib.sha256(patch).hexdigest()[:12] if patch else "none"
        return {"commit": git("rev-parse", "HEAD"), "changes": digest}


def experiments(pattern: str = "*") -> dict[str, str]:
    """Return the commits of those experiments of the current commit whose names match, by name."""
    with _in_a_repository():
        head = git("rev-parse", "HEAD")
        refs = f"refs/exps/{head[:2]}/{head[2:]}/{pattern}"
        listed = git("for-each-ref", "--format=%(refname:lstrip=4) %(objectname)", refs)
    return dict(line.split() for line in listed.splitlines())


@contextmanager
def _in_a_repository() -> Iterator[None]:
    try:
        yield
    except RepositoryError as error:
        raise DatasetError(f"experiments need a DVC repository with a commit ({error})") from None
