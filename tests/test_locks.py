"""The locks: what a GPU adds fits TensorFlow and everything else, and `make` installs it for a GPU."""

import os
import re
import subprocess
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from paths import ROOT


def pinned(name):
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", (ROOT / name).read_text(), re.MULTILINE))


def test_the_lock_for_gpus_is_what_the_locked_tensorflow_asks_for_beside_the_other_lock():
    assert pinned("requirements.txt")["tensorflow"] == metadata.version("tensorflow")
    asked = [Requirement(line) for line in metadata.requires("tensorflow")]
    cuda = {of.name: of.specifier for of in asked if of.marker and of.marker.evaluate({"extra": "and-cuda"})}
    base = {of.name for of in asked if not of.marker or of.marker.evaluate({"extra": ""})}
    added = pinned("requirements-gpu.txt")
    assert added.pop("nvidia-ml-py"), "MLflow shows the use of a GPU with it"
    assert added.keys() == cuda.keys() - base
    assert all(cuda[name].contains(version) for name, version in added.items())
    assert not added.keys() & pinned("requirements.txt").keys(), "a package would have two versions"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-gpu.txt"])
def test_a_lock_has_hashes_and_no_address(name):
    text = (ROOT / name).read_text()
    assert len(re.findall(r"^[a-z0-9-]+==.*\\\n +--hash=sha256:", text, re.MULTILINE)) == len(
        re.findall("==", re.sub("(#|;).*", "", text))
    )
    assert "://" not in text
    assert "--index" not in text


INSTALLS = r"-r requirements\.txt(?: -r requirements-gpu\.txt)?(?=; \}$)"


def installs(tmp_path, *asked, gpu=None):
    """What `make setup` would install, and its mark; on a machine where `nvidia-smi` ends with this code, or is missing."""
    (folder := tmp_path / "bin").mkdir()
    if gpu is not None:
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\nexit {gpu}\n")
        (folder / "nvidia-smi").chmod(0o755)
    (folder / "uname").write_text("#!/bin/sh\necho Linux x86_64\n")
    (folder / "uname").chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in ("GPU", "MAKEFLAGS")}
    environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
    command = ["make", "--dry-run", "--always-make", "--no-print-directory", "-C", str(ROOT), "setup", *asked]
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return re.search(INSTALLS, told, re.MULTILINE)[0], re.search(r"touch (.*)", told)[1]


CPU = ("-r requirements.txt", ".venv/ready")
GPU = ("-r requirements.txt -r requirements-gpu.txt", ".venv/ready-gpu")


@pytest.mark.parametrize(
    ("asked", "gpu", "expected"),
    [
        (["GPU=1"], None, GPU),
        ([], 0, GPU),
        (["GPU=0"], 0, CPU),
        ([], 9, CPU),  # as where the driver is not loaded
        (["GPU=0"], None, CPU),
    ],
)
def test_cuda_is_installed_where_it_is_asked_for_or_a_gpu_answers(tmp_path, asked, gpu, expected):
    """The marks differ, so that another choice installs again."""
    assert installs(tmp_path, *asked, gpu=gpu) == expected
