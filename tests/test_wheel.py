"""What a wheel is without its extras: it predicts with an exported model, and says what to install for anything else."""

import ast
import re
import shutil
import sys
from zipfile import ZipFile

import cv2
import numpy as np
import pytest

from core_alone import BRIGHT, PROJECT, core_alone, modules_of, write_threshold_model
from nerveseg.text.missing_packages import EXTRAS
from odd_files import dicom, picture
from paths import ROOT
from processes import free_port, run

FRAME = np.minimum(picture(size=(32, 64)), BRIGHT - 40)
FRAME[10:20, 20:40] = 255
KINDS = ["a.tif", "b.png", "c.dcm", "d.avi"]


@pytest.fixture
def outside(tmp_path):
    """A folder outside of any repository, with an exported model and a file of each kind."""
    folder = write_threshold_model(tmp_path / "outside/model").parent
    for name in ("a.tif", "b.png"):
        cv2.imwrite(str(folder / name), FRAME)
    (folder / "c.dcm").write_bytes(dicom(FRAME[np.newaxis]))
    film = cv2.VideoWriter(
        str(folder / "d.avi"), cv2.VideoWriter_fourcc(*"FFV1"), 25.0, FRAME.shape[::-1], isColor=False
    )
    for _ in range(3):
        film.write(FRAME)
    film.release()
    return folder


def masks_of(folder):
    return {path.name: cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in folder.glob("*_mask.png")}


def test_the_core_alone_predicts_a_frame_of_every_kind_and_a_loop(outside):
    done = core_alone("predict", *KINDS, "--model", "model", "--out", "masks", cwd=outside)
    assert (done.returncode, done.stdout) == (0, "6 frames segmented into masks: 6 with a nerve, 0 without\n"), (
        done.stderr
    )
    masks = masks_of(outside / "masks")
    assert sorted(masks) == [f"{stem}_mask.png" for stem in ("a", "b", "c", "d_1", "d_2", "d_3")]
    for mask in masks.values():
        assert np.array_equal(mask > 0, FRAME > BRIGHT)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("trained", r"this needs tensorflow, which is not installed; run `pip install .*\[train\].*`"),
        ("models:/a@b", r"models:/a@b: this needs mlflow, which is not installed; run `pip install .*\[tracking\].*`"),
        (
            "absent",
            r"absent was not found; name the folder of a trained model, or run `dvc repro` .* in the repository .*",
        ),
    ],
)
def test_what_the_core_alone_cannot_do_is_one_sentence_with_what_to_type(outside, model, told):
    (outside / "trained").mkdir()
    (outside / "trained/segmenter.json").write_text("{}")
    done = core_alone("predict", "a.tif", "--out", "masks", "--model", model, cwd=outside)
    assert done.returncode == 1
    assert re.fullmatch(f"error: {told}\n", done.stderr)


def test_the_core_and_its_extras_bring_every_package_that_nerveseg_imports():
    nodes = [node for path in ROOT.glob("src/**/*.py") for node in ast.walk(ast.parse(path.read_text()))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    imported = {name.partition(".")[0] for name in names} - {*sys.stdlib_module_names, "nerveseg"}
    of_extras = {module for modules in EXTRAS.values() for module in modules}
    assert imported - of_extras <= modules_of(PROJECT["dependencies"])
    for extra, modules in EXTRAS.items():
        assert modules_of(PROJECT["optional-dependencies"][extra]).issuperset(modules), extra


@pytest.mark.slow
def test_a_wheel_has_all_that_its_core_needs(outside, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(ROOT / "src/nerveseg", project / "src/nerveseg", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, project)
    (wheel,) = tmp_path.glob("nerveseg-*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    here = {"cwd": outside, "code": tmp_path / "site"}
    assert core_alone("--version", **here).stdout == f"nerveseg {PROJECT['version']}\n"
    done = core_alone("watch", "d.avi", "--model", "model", "--port", free_port(), **here)
    assert re.search(r"\n[123] frames? shown, [012] dropped", done.stdout), done.stderr
