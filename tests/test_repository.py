"""Git's answers are the same whatever its user has configured, and where it gives none, that is said."""

import os
import shutil
from pathlib import Path

import pytest

from nerveseg.errors import ComparisonError, RepositoryError
from nerveseg.registry.shipped_cases import cases_of
from nerveseg.repository import changes, git
from paths import ROOT
from processes import run

SETTINGS = {
    "colour": "[color]\n\tui = always\n",
    "no prefix": "[diff]\n\tnoprefix = true\n",
    "mnemonic prefix": "[diff]\n\tmnemonicPrefix = true\n",
    "other prefixes": "[diff]\n\tsrcPrefix = x/\n\tdstPrefix = y/\n",
    "external diff": "[diff]\n\texternal = {folder}/side-by-side\n",
    "relative": "[diff]\n\trelative = true\n",
    "renames": "[diff]\n\trenames = copies\n",
    "no context": "[diff]\n\tcontext = 0\n\tinterHunkContext = 9\n",
    "algorithm": "[diff]\n\talgorithm = patience\n\tindentHeuristic = false\n",
    "word diff": '[diff]\n\twordRegex = .\n\tcolorMoved = zebra\n[diff "python"]\n\ttextconv = tr a-z A-Z\n',
    "blank context": "[diff]\n\tsuppressBlankEmpty = true\n",
    "submodules": "[diff]\n\tsubmodule = log\n\tignoreSubmodules = all\n",
    "pager": "[core]\n\tpager = false\n[pager]\n\tdiff = {folder}/side-by-side\n",
    "attributes": '[core]\n\tattributesFile = {folder}/attributes\n[diff "loud"]\n\ttextconv = tr a-z A-Z\n',
    "quoted paths": "[core]\n\tquotePath = true\n",
    "signatures": "[log]\n\tshowSignature = true\n[core]\n\tabbrev = 4\n",
    "safe line endings": "[core]\n\tsafecrlf = true\n",
    "line endings": "[core]\n\tautocrlf = true\n",
    "whitespace": "[apply]\n\twhitespace = error\n[core]\n\twhitespace = tab-in-indent,cr-at-eol\n",
}


@pytest.fixture
def code(repo) -> Path:
    """A repository with code of every kind, committed, and changed since."""
    source = repo / "src"
    source.mkdir()
    (source / "a.py").write_bytes(b"".join(b"line %d\n" % number for number in range(40)))
    (source / "dos.py").write_bytes(b"one\r\ntwo\r\n")
    (source / "gone.py").write_bytes(b"gone\n")
    (source / "old name.py").write_bytes(b"a\n" * 50)
    (source / "latin-1.py").write_bytes(b"caf\xe9\n")
    (source / "weights.bin").write_bytes(bytes(range(256)))
    (source / "link").symlink_to("a.py")
    run("git", "-c", "core.autocrlf=false", "add", ".")
    run("git", "commit", "-qm", "code")
    (source / "a.py").write_bytes((source / "a.py").read_bytes().replace(b"line 3\n", b"\tline three  \n")[:-1])
    (source / "dos.py").write_bytes(b"one\r\n2\r\n")
    (source / "gone.py").unlink()
    (source / "old name.py").rename(source / "n\u00e9w n\u00e4me.py")
    (source / "latin-1.py").write_bytes(b"caf\xe9 cr\xe8me\n")
    (source / "weights.bin").write_bytes(bytes(reversed(range(256))))
    (source / "link").unlink()
    (source / "link").symlink_to("dos.py")
    (source / "run.sh").write_text("exit\n")
    (source / "run.sh").chmod(0o755)
    (source / "empty.py").touch()
    return repo


def contents(folder: Path) -> dict[str, tuple[bytes, bool]]:
    return {path.name: (path.read_bytes(), os.access(path, os.X_OK)) for path in sorted(folder.iterdir())}


def configured(chosen: str, folder: Path, monkeypatch) -> None:
    """Let this be the user's configuration of Git."""
    external = folder / "side-by-side"
    external.write_text("#!/bin/sh\necho side by side view of $1\n")
    external.chmod(0o755)
    (folder / "attributes").write_text("*.py diff=loud\n")
    (folder / "config").write_text(chosen.replace("{folder}", str(folder)))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(folder / "config"))


@pytest.mark.parametrize("chosen", SETTINGS.values(), ids=SETTINGS)
def test_the_patch_of_what_is_not_committed_applies_in_a_clone_whatever_the_user_has_set(
    code, tmp_path, monkeypatch, chosen
):
    configured(chosen, tmp_path, monkeypatch)
    (tmp_path / "patch").write_bytes(changes(("src", "dvc.yaml"), new_files=True))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    run("git", "clone", "-q", str(code), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    run("git", "apply", "--whitespace=nowarn", str(tmp_path / "patch"))
    assert contents(Path("src")) == contents(code / "src")


@pytest.mark.parametrize(
    "variables",
    [
        {"GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/"},
        {"GIT_INDEX_FILE": "/nowhere/index", "GIT_PREFIX": "src/"},
        {"GIT_EXTERNAL_DIFF": "false", "GIT_DIFF_OPTS": "--unified=0", "GIT_PAGER": "false"},
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "diff.noprefix", "GIT_CONFIG_VALUE_0": "true"},
        {"GIT_CONFIG_PARAMETERS": "'color.ui=always'", "GIT_LITERAL_PATHSPECS": "1"},
        {"GIT_OBJECT_DIRECTORY": "/nowhere", "GIT_CEILING_DIRECTORIES": "/"},
        {"GIT_TRACE": "1", "LANG": "de_DE.UTF-8", "LANGUAGE": "de"},
    ],
    ids=" ".join,
)
def test_the_shell_s_variables_change_nothing_of_what_git_says(code, monkeypatch, variables):
    wanted = changes(("src",), new_files=True), git("rev-parse", "HEAD"), git("status", "--porcelain")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (changes(("src",), new_files=True), git("rev-parse", "HEAD"), git("status", "--porcelain")) == wanted


def test_what_the_user_has_staged_stays_staged(code):
    run("git", "add", "src/run.sh")
    before = run("git", "status", "--porcelain")
    changes(("src",), new_files=True)
    assert run("git", "status", "--porcelain") == before


def test_without_changes_there_is_no_patch(repo):
    assert changes(("stage.py", "dvc.yaml", "nowhere"), new_files=True) == b""


def test_a_sweep_s_patch_leaves_out_files_that_git_does_not_follow(repo):
    (repo / "src").mkdir()
    (repo / "src" / "new.py").write_text("new\n")
    assert changes(("src",), new_files=False) == b""
    assert b"src/new.py" in changes(("src",), new_files=True)


def test_a_change_of_a_submodule_applies_in_a_clone(repo, tmp_path, monkeypatch):
    other = tmp_path / "other"
    run("git", "init", "-q", str(other))
    run("git", "-C", str(other), "commit", "-q", "--allow-empty", "-m", "one")
    run("git", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "src/other")
    run("git", "commit", "-qm", "submodule")
    run("git", "-C", "src/other", "commit", "-q", "--allow-empty", "-m", "two")
    (repo / "stage.py").write_text("changed\n")
    (tmp_path / "patch").write_bytes(changes(("src", "stage.py"), new_files=True))
    run("git", "clone", "-q", str(repo), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    run("git", "apply", "--whitespace=nowarn", str(tmp_path / "patch"))
    assert Path("stage.py").read_text() == "changed\n"


@pytest.fixture
def of_another_user(repo, tmp_path, monkeypatch) -> Path:
    """A repository that Git takes for another user's."""
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin" / "git"
    wrapper.write_text(f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {shutil.which("git")} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")
    return repo


def test_a_repository_of_another_user_is_told_with_what_to_type(of_another_user, tmp_path, monkeypatch):
    remedy = f"git config --global --add safe.directory {of_another_user}"
    with pytest.raises(RepositoryError) as refused:
        git("rev-parse", "HEAD")
    assert remedy in str(refused.value)
    with pytest.raises(ComparisonError, match="belongs to another user") as refused:
        cases_of("HEAD")
    assert remedy in str(refused.value)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    run("sh", "-c", remedy)
    assert git("rev-parse", "HEAD")


def test_a_folder_without_a_repository_and_a_machine_without_git_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RepositoryError, match="is in no Git repository"):
        git("rev-parse", "HEAD")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RepositoryError, match="install Git"):
        git("rev-parse", "HEAD")


def test_git_takes_every_text_of_this_project_for_one_with_line_feeds_under_any_setting():
    lines = run("git", "-C", str(ROOT), "ls-files", "--eol").splitlines()
    assert lines
    assert not [line for line in lines if "i/crlf" in line or ("eol=lf" not in line and "attr/-text" not in line)]
