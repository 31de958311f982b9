"""Completion of the command line, in the shells that are there."""

import os
import shutil

import pytest

from command_line import nerveseg
from processes import run

# What bash does when Tab is pressed after the words.
PRESSED = """
source completion
complete -p nerveseg > /dev/null
COMP_WORDS=(nerveseg "$@"); COMP_CWORD=$#; COMP_LINE="nerveseg $*"; COMP_POINT=${#COMP_LINE}
_shtab_nerveseg
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completion(shell, capsys, folder):
    assert nerveseg("--print-completion", shell) == 0
    (folder / "completion").write_text(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["pr"], {"predict", "promote"}),
        (["watch", "--lo"], {"--loop"}),
        (["check", "cli"], {"clinic"}),
        (["predict", "clinic", "--out", "cli"], {"clinic"}),
        (["sweep", "--sc"], {"--score"}),
    ],
)
def test_bash_completes_commands_options_and_paths(tmp_path, monkeypatch, capsys, typed, offered):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clinic").mkdir()
    completion("bash", capsys, tmp_path)
    found = run("bash", "--norc", "-c", PRESSED, "bash", *typed, env=os.environ | {"HOME": str(tmp_path)})
    assert {each.rstrip("/") for each in found.splitlines()} == offered


@pytest.mark.parametrize(("shell", "first"), [("zsh", "#compdef nerveseg"), ("fish", "# AUTOMATICALLY GENERATED")])
def test_other_shells_get_a_script_that_they_can_read(tmp_path, monkeypatch, capsys, shell, first):
    monkeypatch.chdir(tmp_path)
    completion(shell, capsys, tmp_path)
    assert (tmp_path / "completion").read_text().startswith(first)
    if shutil.which(shell):
        run(shell, "-n", "completion")
