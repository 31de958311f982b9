"""The user's repository: its root, and what Git says about it.

The output of `git` depends neither on the user's configuration (colours, external diffs, prefixes, pagers, hooks) nor on
their language, nor on GIT_DIR and GIT_INDEX_FILE, which Git sets in hooks.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from nerveseg.errors import NoRepositoryError, RepositoryError

# The user's GIT_* variables that are kept: where Git itself and its safe.directory are configured.
_CONFIG = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
_KEPT = (*_CONFIG, "GIT_EXEC_PATH", "GIT_DISCOVERY_ACROSS_FILESYSTEM")
_SETTINGS = (
    "core.quotePath=false",
    "core.abbrev=auto",
    "core.fsmonitor=false",
    "core.safecrlf=false",
    f"core.hooksPath={os.devnull}",
    f"core.attributesFile={os.devnull}",
    "status.relativePaths=false",
    "diff.ignoreSubmodules=none",
    "diff.suppressBlankEmpty=false",
)
_OPTIONS = ("--no-pager", *(word for setting in _SETTINGS for word in ("-c", setting)))
# What `git apply` takes everywhere, also for binary files. `diff-index` ignores settings of how diffs are shown, and the
# options override attributes.
_PATCH = (
    *("diff-index", "--patch", "--cached", "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv"),
    *("--no-renames", "--no-relative", "--src-prefix=a/", "--dst-prefix=b/", "--unified=3", "--submodule=short"),
)


def repository_root() -> Path:
    """Return the root of the user's repository, even if a stage runs in DVC's copy of it."""
    # DVC points DVC_ROOT at the parent repository, not at the copy under .dvc/tmp/exps (dvc 3.67, queue/base.py).
    if dvc_root := os.environ.get("DVC_ROOT"):
        return Path(dvc_root).resolve()
    here = Path.cwd()
    around = [here, *here.parents]
    for folder in around:
        if folder.parts[-3:] == (".dvc", "tmp", "exps"):
            return folder.parents[2]
    return next((folder for mark in (".dvc", ".git") for folder in around if (folder / mark).exists()), here)


def git(*arguments: str, index: Path | None = None) -> str:
    """Run Git, with this `index` or the user's; return its output but the last line break, or raise RepositoryError.

    Bytes that are no UTF-8 are surrogates; `.encode("utf-8", "surrogateescape")` restores them.
    """
    environment = _environment() | ({"GIT_INDEX_FILE": str(index)} if index else {})
    try:
        done = subprocess.run(
            ["git", *_OPTIONS, *arguments], capture_output=True, stdin=subprocess.DEVNULL, check=False, env=environment
        )
    except OSError as error:
        raise RepositoryError(f"git cannot be run ({error.strerror}); install Git, or put it on the PATH") from None
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace")
        if "not a git repository" in told:
            raise NoRepositoryError(f"{Path.cwd()} is in no Git repository; change to one, or make one with `git init`")
        raise RepositoryError(_reason(told, arguments))
    return done.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")


def names_its_user() -> bool:
    """Return whether a name and an email for commits are set, in Git or by GIT_COMMITTER_NAME and GIT_COMMITTER_EMAIL."""
    for key in ("name", "email"):
        if not os.environ.get(f"GIT_COMMITTER_{key.upper()}"):
            try:
                git("config", f"user.{key}")
            except RepositoryError:
                return False
    return True


def committed(commit: str, path: Path | str) -> str:
    """Return the text of a file in a commit, relative to the working directory; RepositoryError if there is none."""
    return git("cat-file", "blob", f"{commit}:./{path}")


def changes(paths: Sequence[str], *, new_files: bool) -> bytes:
    """Return the uncommitted changes of these files and folders, as a patch that `git apply` takes in any clone.

    Paths are relative to the working directory; those that exist neither here nor in the commit are left out.
    `new_files` includes files that Git neither tracks nor ignores. Git's own index stays as it is. Raise
    RepositoryError if there is no commit, or if Git fails.
    """
    index = repository_root() / ".nerveseg" / f"index.{os.getpid()}"
    index.parent.mkdir(parents=True, exist_ok=True)
    try:
        git("read-tree", "HEAD", index=index)
        known = git("ls-files", "--", *paths, index=index).splitlines()
        for path in paths:
            if any(Path(name).is_relative_to(path) for name in known) or (new_files and Path(path).exists()):
                git("add", "--all" if new_files else "--update", "--", path, index=index)
        patch = git(*_PATCH, "HEAD", "--", *paths, index=index)
    finally:
        index.unlink(missing_ok=True)
    return f"{patch}\n".encode("utf-8", "surrogateescape") if patch else b""


def _environment() -> dict[str, str]:
    """Return the environment of a Git that speaks English and takes no lock that could disturb the user."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT}
    return kept | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}


def _reason(told: str, arguments: tuple[str, ...]) -> str:
    if "dubious ownership" in told:
        folder = told.partition("'")[2].partition("'")[0]
        return (
            f"Git refuses to read {folder}, which belongs to another user; if you trust it, run "
            f"`git config --global --add safe.directory {folder}`"
        )
    return f"`git {arguments[0]}` failed: {next(iter(told.splitlines()), 'it gives no reason')}"
