"""The pipeline on other frames than the phantom's, and what no stage does."""

import json
import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from drawn_frames import kaggle_frames
from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.records import read_records
from nerveseg.files.atomic import read_csv
from nerveseg.imaging.simulated import write_simulated
from nerveseg.unet.segmenter import SegmenterConfig
from odd_files import dicom
from pipeline_workspace import STAGES, change_params, metrics, new_workspace
from processes import attempt, run
from repositories import commit
from tiny_params import write_params
from training_workspace import make_workspace, run_stages, start_training

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_commands")]


def test_a_stage_runs_the_code_of_its_own_copy_of_the_repository(tmp_path):
    """DVC runs queued experiments in copies; what it hashes there must be what runs there."""
    copy = new_workspace(tmp_path / "copy", tracking={"enabled": False})
    marked = copy / "src" / "nerveseg" / "params" / "file.py"
    marked.write_text(marked.read_text() + "\nprint('the copy speaks')\n")
    assert "the copy speaks" in run("dvc", "repro", "phantom", cwd=copy)


def test_frames_of_one_s_own_in_the_folder_of_the_simulated_ones_stay_there(tmp_path):
    """DVC deletes other outputs before it runs a stage, or restores them from its cache."""
    work = new_workspace(tmp_path / "work", tracking={"enabled": False})
    phantom = work / "data" / "phantom"
    phantom.mkdir(parents=True)
    (phantom / "1_1.tif").write_bytes(b"mine")
    told = attempt("dvc", "repro", "phantom", cwd=work).stderr
    assert (
        "data/phantom holds files that this stage did not write, such as 1_1.tif (of 1), and would replace; move"
        in told
    )
    (phantom / "1_1.tif").rename(work / "mine.tif")
    run("dvc", "repro", "phantom", cwd=work)
    simulated = {path.name: path.read_bytes() for path in phantom.iterdir()}
    assert "didn't change" in run("dvc", "repro", "phantom", cwd=work)
    shutil.rmtree(phantom)
    run("dvc", "checkout", "data/phantom", cwd=work)
    assert {path.name: path.read_bytes() for path in phantom.iterdir()} == simulated
    (work / "mine.tif").rename(phantom / "9_9.tif")
    attempt("dvc", "repro", "phantom", cwd=work)
    assert (phantom / "9_9.tif").read_bytes() == b"mine"


@pytest.mark.parametrize("stage", STAGES)
def test_a_wrong_param_of_any_section_stops_every_stage_in_its_first_moment(tmp_path, stage):
    write_params(tmp_path / "params.yaml")
    text = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("bootstrap: 100", "bootstrap: 1"))
    process = start_training(tmp_path, stage=stage)
    process.join()
    told = (tmp_path / "output.txt").read_text()
    assert process.exitcode == 1
    assert "evaluate.bootstrap is 1; input should be greater than or equal to 100" in told
    assert "Traceback" not in told
    assert {path.name for path in tmp_path.iterdir()} == {"params.yaml", "output.txt"}


def test_a_model_that_has_ever_learnt_from_a_real_frame_is_not_one_of_simulated_frames_alone(tmp_path):
    """The first training learns from simulated frames, the next goes on from it with real ones, the last with simulated ones."""
    start, found = None, []
    for number, write in enumerate(
        (write_simulated, lambda path, frame: cv2.imwrite(str(path), frame), write_simulated)
    ):
        work = tmp_path / str(number)
        frames = kaggle_frames(work / "frames", size=(48, 80 + 2 * number))
        for path in frames.glob("?_?.tif"):
            write(path, cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
        change = {"unet": {"epochs": 1} | ({"init_from": "models/start"} if start else {})}
        make_workspace(work, write_params(work / "params.yaml", change), frames)
        if start:
            shutil.copytree(start, work / "models" / "start")
        run_stages(work, "train_unet")
        start = work / "models" / "unet"
        found.append(SegmenterConfig.read(start).simulated_only)
    assert found == [True, False, False]


LOOK_LIKE_NOTHING = ["NA", "None", "null", "nan", "007", "1e5"]  # to readers of tables: missing, or numbers


def test_frames_of_one_s_own_run_by_a_change_of_params_alone_whatever_they_are_called(kaggle_folder, tmp_path):
    """And a data set in which every frame shows a nerve has no specificity."""
    work = new_workspace(tmp_path / "work", tracking={"enabled": False})
    own = work / "data" / "raw" / "clinic"
    own.mkdir(parents=True)
    lines = ["frame,subject"]
    for path in sorted(kaggle_folder(frames=4).glob("*_[24]_mask.tif")):
        subject, number, _ = path.stem.split("_")
        named = LOOK_LIKE_NOTHING[int(subject) - 1]
        frame = named if number == "2" else f"{number}/{named}"
        (own / frame).parent.mkdir(exist_ok=True)
        shutil.copy(path.with_name(f"{subject}_{number}.tif"), own / f"{frame}.tif")
        shutil.copy(path, own / f"{frame}_mask.tif")
        lines.append(f"{frame},{named}")
    (own / "subjects.csv").write_text("\n".join(lines))
    change = ("-S", "data.dir=data/raw/clinic", "-S", "split.test_subjects=[NA,'007']")
    out = run("dvc", "exp", "run", *change, "preprocess", cwd=work)
    assert "12 pairs, 6 subjects" in out
    run_stages(work, *STAGES[2:])
    scores = metrics(work)
    assert scores["exported"]["presence_specificity"] is None
    assert scores["counts"] == {"frames": 4, "frames_with_nerve": 4, "subjects": 2}
    assert scores["data"] == {"source": "data/raw/clinic", "simulated": 0}
    assert not run("git", "ls-files", "data/raw", cwd=work).strip()
    commit(work, "own")
    assert "passed" in run(sys.executable, "-m", "nerveseg.cli", "gate", "--base", "HEAD", cwd=work)
    parts = read_csv(work / "metrics" / "strata.csv").query("stratum == 'subject'")["part"]
    assert set(parts) == {"NA", "007"}
    tested = read_csv(work / "metrics" / "cases.csv").query("model == 'exported'")
    assert set(zip(tested["frame"], tested["subject"], strict=True)) == {
        ("NA", "NA"), ("4/NA", "NA"), ("007", "007"), ("4/007", "007"),
    }  # fmt: skip
    page = (work / "reports" / "index.html").read_text()
    cases = json.loads(re.search(r'id="case-data">(.*?)</script>', page, re.DOTALL)[1])["cases"]
    assert {(case["name"], case["subject"]) for case in cases} == set(
        zip(tested["frame"], tested["subject"], strict=True)
    )


def laid_out(layout: str, source: Path, target: Path) -> None:
    """The frames of a folder in Kaggle's layout, in another one."""
    target.mkdir(parents=True)
    for mask in sorted(source.glob("*_mask.tif")):
        frame = mask.with_name(mask.name.replace("_mask", ""))
        pixels = cv2.imread(str(frame), cv2.IMREAD_UNCHANGED)
        if layout == "frames beside masks":
            cv2.imwrite(str(target / f"p{frame.stem}.png"), pixels)
            shutil.copy(mask, target / f"p{frame.stem}_mask_1.tif")
        elif layout == "images and masks":
            for kind, file in (("images", frame), ("masks", mask)):
                (target / kind).mkdir(exist_ok=True)
                shutil.copy(file, target / kind / f"p{frame.name}")
        else:
            patient, number = frame.stem.split("_")
            (target / f"{number}of{patient}.dcm").write_bytes(dicom(pixels[np.newaxis], patient=f"MRN-{patient}"))
            shutil.copy(mask, target / f"{number}of{patient}_mask.tif")


def packed(work: Path) -> list[tuple[bytes, bytes]]:
    """What the network learns from and is scored on, in an order that no name decides."""
    folder = work / "data" / "processed"
    info = DatasetInfo.read(folder)
    records = [record for split in ("train", "val", "test") for record in read_records(shards(folder, split), info)]
    return sorted((record.frame.tobytes(), record.mask.tobytes()) for record in records)


def test_the_same_frames_in_another_layout_are_packed_the_same(kaggle_folder, tmp_path):
    work = new_workspace(tmp_path / "work", tracking={"enabled": False})
    source = kaggle_folder(frames=2)
    shutil.copytree(source, work / "data" / "raw" / "kaggle")
    run("dvc", "exp", "run", "-S", "data.dir=data/raw/kaggle", "preprocess", cwd=work)
    expected = packed(work)
    assert len(expected) == 12
    for layout in ("frames beside masks", "images and masks", "DICOM"):
        laid_out(layout, source, work / "data" / "raw" / layout)
        out = run("dvc", "exp", "run", "-S", f"data.dir=data/raw/{layout}", "preprocess", cwd=work)
        assert f"{layout} layout, 12 pairs, 6 subjects" in out
        assert packed(work) == expected


def test_the_whole_pipeline_runs_on_dicom_and_no_patient_s_name_goes_into_it(kaggle_folder, tmp_path):
    work = new_workspace(tmp_path / "work", tracking={"enabled": False})
    laid_out("DICOM", kaggle_folder(frames=2), work / "data" / "raw" / "clinic")
    change_params(work, {"data": {"dir": "data/raw/clinic"}})
    run_stages(work, *STAGES[1:])
    assert "DICOM layout, 12 pairs, 6 subjects" in (work / "output.txt").read_text()
    assert metrics(work)["counts"]["frames"] == 4
    assert (work / "reports" / "index.html").is_file()
    made = [*(work / "data" / "processed").iterdir(), *(work / "metrics").iterdir(), *(work / "reports").iterdir()]
    assert b"MRN-" not in b"".join(path.read_bytes() for path in made)
