"""How a process ends that cannot go on: one sentence, and an exit code that says why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paths import ROOT

MANY = "for number in range(100_000): print(number)"


def ended(body: str, **options):
    """A process that runs `body` as commands and stages run."""
    script = f"from nerveseg.errors import *\nwith told_plainly():\n    {body}"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")} | options.pop("environment", {})
    options = {"stdout": subprocess.PIPE, **options}
    return subprocess.run(
        [sys.executable, "-c", script], check=False, text=True, stderr=subprocess.PIPE, env=environment, **options
    )


@pytest.mark.parametrize(
    ("raised", "code", "told"),
    [
        ("ModelError('no such model')", 1, "no such model"),
        ("KeyboardInterrupt", 130, "interrupted"),
        ("Terminated('ended by SIGTERM')", 143, "ended by SIGTERM"),
        ("MemoryError", 1, "memory ran out; "),
        ("OSError(28, 'x', 'a/b')", 1, "a/b: the disk is full; free some space"),
        ("RuntimeError('a/b: No space left on device')", 1, "the disk is full; free some space"),
        ("OSError(122, 'x', 'a/b')", 1, "a/b: your disk quota is used up"),
        ("PermissionError(13, 'x', 'a/b')", 1, "a/b: permission denied; check"),
        ("OSError(30, 'x', 'a/b')", 1, "a/b: the file system is read-only"),
        ("OSError(24, 'x')", 1, "too many files are open"),
        ("OSError(36, 'x', 'a')", 1, "a: the name is too long"),
        ("OSError(27, 'x', 'a')", 1, "a: the file is larger than the file system"),
        ("BrokenPipeError(32, 'x')", 1, "a process or a server that this one used has ended"),  # not the output's
        ("NotADirectoryError(20, 'x', 'a/b')", 1, "a/b: a part of this path is a file"),
        ("ModuleNotFoundError('x', name='tensorflow')", 1, "this needs tensorflow, which is not installed; run `pip "),
    ],
)
def test_what_stops_a_process_is_one_sentence_and_an_exit_code(raised, code, told):
    process = ended(f"raise {raised}")
    assert process.returncode == code
    assert process.stderr.startswith(f"error: {told}")
    assert process.stderr.count("\n") == 1


def test_a_fault_of_ours_keeps_its_traceback():
    assert "KeyError: 'key'" in ended("raise KeyError('key')").stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has it")
@pytest.mark.parametrize("body", ["print('short')", MANY, "print('short'); exit(0)"])
def test_a_full_disk_behind_the_output_is_one_sentence(body):
    with Path("/dev/full").open("w") as full:
        process = ended(body, stdout=full)
    assert (process.returncode, process.stderr) == (1, "error: the disk is full; free some space, then run it again\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has it")
@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}])
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["predict", "--help"], []])
def test_a_full_disk_behind_help_or_version_is_one_sentence(arguments, environment):
    with Path("/dev/full").open("w") as full:
        process = ended(f"from nerveseg import cli; cli.main({arguments})", stdout=full, environment=environment)
    assert (process.returncode, process.stderr) == (1, "error: the disk is full; free some space, then run it again\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has it")
def test_a_mistake_is_told_also_if_the_disk_behind_the_output_is_full():
    with Path("/dev/full").open("w") as full:
        process = ended("raise ModelError('no such model')", stdout=full)
    assert (process.returncode, process.stderr) == (1, "error: no such model\n")


@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}])
@pytest.mark.parametrize("body", ["print('short')", MANY, "print('short'); exit(0)"])
def test_a_reader_that_closes_the_output_ends_the_process_in_silence(body, environment):
    reading, writing = os.pipe()
    os.close(reading)
    process = ended(body, stdout=writing, environment=environment)
    os.close(writing)
    assert (process.returncode, process.stderr) == (141, "")


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({"PYTHONIOENCODING": "ascii"}, r"n\xe9 \udce4 \u4e2d"),
        ({"PYTHONIOENCODING": "latin-1"}, r"né \udce4 \u4e2d"),
        ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, r"n\xe9 \udce4 \u4e2d"),
        ({"PYTHONUTF8": "1"}, r"né \udce4 中"),
    ],
)
def test_a_name_outside_of_the_terminal_s_encoding_is_shown_by_escapes(environment, shown):
    process = ended(r"print('n\xe9 \udce4 \u4e2d')", environment=environment, encoding="latin-1")
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.encode("latin-1") in {shown.encode("latin-1", "replace") + b"\n", shown.encode() + b"\n"}


def test_a_process_without_any_output_to_write_to_ends_well():
    assert ended("print('short')", stdout=None, preexec_fn=lambda: os.close(1)).returncode == 0
