"""The command that installs an extra is true wherever nerveseg came from."""

import json
from importlib import metadata
from types import SimpleNamespace

import pytest

from nerveseg.text import missing_packages
from nerveseg.text.missing_packages import installing, not_installed

WHEEL = "file:///tmp/a%20b/nerveseg-0.1.0-py3-none-any.whl"
SERVER = "https://git.example.org/nerveseg.git"


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ({"url": WHEEL, "archive_info": {}}, f"pip install 'nerveseg[train] @ {WHEEL}'"),
        ({"url": "file:///tmp/a%20b", "dir_info": {"editable": True}}, "pip install -e '/tmp/a b[train]'"),
        ({"url": "file:///tmp/clone", "dir_info": {}}, "pip install 'nerveseg[train] @ file:///tmp/clone'"),
        (
            {"url": SERVER, "vcs_info": {"vcs": "git", "commit_id": "3f"}},
            f"pip install 'nerveseg[train] @ git+{SERVER}@3f'",
        ),
        (None, "pip install 'nerveseg[train]'"),  # from an index
    ],
)
def test_an_extra_comes_from_where_nerveseg_was_installed(monkeypatch, origin, command):
    said = SimpleNamespace(read_text=lambda _: origin and json.dumps(origin))
    monkeypatch.setattr(missing_packages, "distribution", lambda _: said)
    assert installing("train") == command


def test_code_without_an_installation_names_the_extra(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(missing_packages, "distribution", absent)
    assert not_installed("mlflow") == (
        "this needs mlflow, which is not installed; run `pip install 'nerveseg[tracking]'`"
    )


def test_what_no_extra_brings_is_not_explained():
    assert not_installed("nerveseg.absent") == not_installed("") == ""
