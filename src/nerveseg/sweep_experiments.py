"""What Git says of a sweep's experiments, and of the code that they run; read from where DVC keeps it, in milliseconds."""

import hashlib
import subprocess

from nerveseg.errors import DatasetError

_READ_BY_THE_PIPELINE = ("params.yaml", "dvc.yaml", "src", "stages", "data", "models")


def code() -> dict[str, str]:
    """What a trial's result depends on beside its parameters: the commit, and a digest of the changes to it.

    Raises:
        DatasetError: there is no commit.
    """
    changes = _git("diff", "HEAD", "--", *_READ_BY_THE_PIPELINE)
    digest = hashlib.sha256(changes.encode()).hexdigest()[:12] if changes else "none"
    return {"commit": _git("rev-parse", "HEAD"), "changes": digest}


def experiments(pattern: str) -> dict[str, str]:
    """The commits of those experiments of the commit that is checked out whose names match, by name."""
    head = _git("rev-parse", "HEAD")
    refs = f"refs/exps/{head[:2]}/{head[2:]}/{pattern}"
    listed = _git("for-each-ref", "--format=%(refname:lstrip=4) %(objectname)", refs)
    return dict(line.split() for line in listed.splitlines())


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DatasetError(f"a sweep needs a DVC repository with a commit ({done.stderr.strip() or 'git failed'})")
    return done.stdout.strip()
