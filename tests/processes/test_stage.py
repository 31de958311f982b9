"""A stage ends with the pipeline, keeps others from its outputs, and notices that what it reads has changed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nerveseg.errors import DisturbedError, ParamsError
from nerveseg.params.file import load_params
from nerveseg.processes.stage import output_around, undisturbed
from paths import ROOT
from processes import PATIENCE, attempt, eventually, started

STAGE = """
import sys, time
from pathlib import Path
from nerveseg.files.atomic import fresh_folder
from nerveseg.processes.stage import stage_process

with stage_process(), fresh_folder(Path("out")) as folder:
    (folder / "frame").touch()
    print("filling", flush=True)
    time.sleep(60)
"""
DVC = """
import os, subprocess, sys
subprocess.run(["/bin/sh", "-c", sys.argv[1]], env=os.environ | {"DVC_STAGE": "s"})
"""
EXEC, STAYS = "{} stage.py", "{} stage.py; exit $?"  # a shell becomes its only command, or waits for it


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    (tmp_path / "stage.py").write_text(STAGE)
    return tmp_path


def begun(process):
    assert process.stdout.readline() == "filling\n"
    return process


def left_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith((".", "out")))


def stage_by_hand():
    return started([sys.executable, "stage.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.parametrize("command", [EXEC, STAYS])
@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGKILL])
def test_a_stage_ends_with_dvc_and_leaves_nothing_half_made(workspace, command, kill):
    shell = command.format("python")
    with started([sys.executable, "-c", DVC, shell], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as dvc:
        begun(dvc)
        dvc.send_signal(kill)
        assert "`dvc` has ended, and this stage with it" in dvc.stderr.read()  # until the stage has closed it
    assert left_in(workspace) == []


@pytest.mark.slow
def test_a_stage_whose_dvc_was_dead_before_it_looked_ends(workspace):
    """The shell lives on under process 1 for a moment before it starts the stage."""
    orphan = "touch up; sleep 1; exec python stage.py"
    with started([sys.executable, "-c", DVC, orphan], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as dvc:
        eventually((workspace / "up").exists)
        dvc.kill()
        assert "`dvc` has ended" in dvc.stderr.read()


@pytest.mark.slow
def test_a_stage_that_somebody_started_by_hand_outlives_its_shell(workspace):
    with started(
        ["/bin/sh", "-c", "python stage.py & read wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as shell:
        begun(shell)
        shell.kill()
        time.sleep(2)
        assert left_in(workspace) != []


@pytest.mark.slow
def test_a_stage_that_is_asked_to_end_cleans_up_and_says_so(workspace):
    with stage_by_hand() as stage:
        begun(stage).terminate()
        assert stage.wait(PATIENCE) == 143
        assert stage.stderr.read() == "error: ended by SIGTERM\n"
    assert left_in(workspace) == []


@pytest.mark.slow
def test_a_stage_under_nohup_outlives_its_terminal(workspace):
    line = ["nohup", sys.executable, "stage.py"]
    with started(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as stage:
        begun(stage).send_signal(signal.SIGHUP)
        time.sleep(1)
        assert stage.poll() is None


@pytest.mark.slow
def test_a_second_process_is_told_which_one_writes_and_harms_nothing(workspace):
    with stage_by_hand() as first:
        begun(first)
        second = attempt(sys.executable, "stage.py")
        assert second.returncode == 1
        assert second.stderr == f"error: another process (PID {first.pid}) is writing out; end it or wait\n"
        assert f".out.{first.pid}.part" in left_in(workspace)


@pytest.mark.slow
def test_what_a_killed_process_left_is_cleared_by_the_next_and_never_mixed_in(workspace):
    with stage_by_hand() as first:
        begun(first).kill()
        first.wait()
        assert left_in(workspace) == [f".out.{first.pid}.part", ".out.lock"]
    with stage_by_hand() as second:
        begun(second)
        assert left_in(workspace) == [f".out.{second.pid}.part", ".out.lock"]


@pytest.fixture
def declared(workspace):
    """A stage that reads `lr`, one file of code and a folder."""
    shutil.copy(ROOT / "params.yaml", workspace)
    (workspace / "dvc.yaml").write_text("stages: {s: {deps: [code.py, '${data.dir}'], params: [lr, unet]}}")
    (workspace / "code.py").write_text("a = 1")
    (workspace / "data" / "phantom").mkdir(parents=True)
    (workspace / "data" / "phantom" / "frame").write_text("1")
    return workspace


def edit(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def test_a_stage_passes_where_only_what_it_does_not_read_changes(declared):
    with undisturbed("s", load_params()):
        edit(declared / "params.yaml", "subjects: 160", "subjects: 12")
        edit(declared / "params.yaml", "lr: 3.0e-3", "lr: 0.003")
        (declared / "other.py").touch()
        os.utime(declared / "code.py", (1, 1))
        os.utime(declared / "data" / "phantom" / "frame", (1, 1))
        (declared / "data" / "phantom" / ".DS_Store").touch()
        (declared / "data" / "phantom" / "__pycache__").mkdir()  # as in a folder of code, at a module's first import
        (declared / "data" / "phantom" / "__pycache__" / "code.cpython-311.pyc").touch()


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("params.yaml", "lr: 3.0e-3", "lr: 1.0e-4", "params.yaml: lr changed from 0.003 to 0.0001 while s ran; "),
        ("params.yaml", "depth: 4", "depth: 3", "params.yaml: unet.depth changed from 4 to 3 while s ran; "),
        ("code.py", "1", "2", "code.py changed while s ran; "),
        ("data/phantom/frame", "1", "12", "data/phantom/frame changed while s ran; "),
    ],
)
def test_a_stage_fails_where_what_it_read_changed_meanwhile(declared, file, old, new, told):
    with pytest.raises(DisturbedError) as refusal, undisturbed("s", load_params()):
        edit(declared / file, old, new)
    assert str(refusal.value).startswith(told)
    assert "run `dvc repro` again" in str(refusal.value)


PIPELINE = "stages: {phantom: {outs: [data/phantom]}, s: {deps: ['${data.dir}'], outs: [data/processed]}, last: {outs: [{models/m: {}}]}}"


@pytest.mark.parametrize(
    "target", ["data/processed", "data/processed/mine", "data", "models/m/mine", "data/phantom/mine"]
)
@pytest.mark.parametrize("linked", [False, True])
def test_a_stage_refuses_an_input_that_a_stage_would_delete(declared, target, linked):
    (declared / "dvc.yaml").write_text(PIPELINE)
    (declared / target).mkdir(parents=True, exist_ok=True)
    (declared / "link").symlink_to(target)
    folder = "link" if linked else target
    edit(declared / "params.yaml", "dir: data/phantom", f"dir: {folder}")
    with pytest.raises(ParamsError, match=f"^data.dir is {folder}, but stage .* replaces .* move the files elsewhere"):  # noqa: SIM117
        with undisturbed("s", load_params()):
            pytest.fail("the stage began")


@pytest.mark.parametrize("folder", ["data/phantom", "./data/phantom/", "data/raw/mine", "data/processed-2"])
def test_a_stage_reads_what_an_earlier_one_wrote_and_what_lies_elsewhere(declared, folder):
    (declared / "dvc.yaml").write_text(PIPELINE)
    (declared / folder).mkdir(parents=True, exist_ok=True)
    edit(declared / "params.yaml", "dir: data/phantom", f"dir: {folder}")
    with undisturbed("s", load_params()):
        pass


def test_a_path_in_an_output_of_the_pipeline_is_known(declared):
    (declared / "dvc.yaml").write_text(PIPELINE)
    paths = ["data/processed", "data/x/../processed/new/masks", "models/m", "models/ensemble", "data", "masks"]
    inside = Path("data/processed")
    assert [output_around(Path(path)) for path in paths] == [inside, inside, Path("models/m"), None, None, None]


def test_so_it_is_from_outside_the_repository_and_by_a_link(declared, tmp_path, monkeypatch):
    (declared / "dvc.yaml").write_text(PIPELINE)
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (declared / "data" / "processed").mkdir(parents=True, exist_ok=True)
    (outside / "link").symlink_to(declared / "data" / "processed")
    paths = [declared / "data" / "processed" / "x", outside / "link" / "x", Path("link"), declared / "masks", Path("x")]
    monkeypatch.chdir(outside)
    inside = declared / "data" / "processed"
    assert [output_around(path) for path in paths] == [inside, inside, inside, None, None]


@pytest.mark.parametrize(
    "text",
    ["", "stages: {", "[1]", "stages: [a]", "stages: {s: null}", "stages: {s: {outs: [{}]}}", "stages: {s: {outs: 7}}"],
)
def test_a_dvc_yaml_of_another_project_names_no_output_and_stops_nobody(workspace, text):
    (workspace / "dvc.yaml").write_text(text)
    assert output_around(Path("masks")) is None


def test_a_dvc_yaml_that_cannot_be_read_is_one_line(declared):
    (declared / "dvc.yaml").write_text("stages: {s: [")
    with pytest.raises(ParamsError, match=r"dvc\.yaml is not valid YAML: line 1"), undisturbed("s", load_params()):
        pytest.fail("the stage began")


def test_files_that_come_and_go_are_changes(declared):
    def tidy_up():
        with undisturbed("s", load_params()):
            (declared / "code.py").unlink()
            (declared / "data" / "phantom" / "more").touch()

    with pytest.raises(DisturbedError) as refusal:
        tidy_up()
    assert re.findall(r"(\S+) changed while s ran", str(refusal.value)) == ["code.py", "data/phantom/more"]


@pytest.mark.parametrize(
    "left",
    [
        "data/.processed.123.part/train-00.tfrecord",
        "data/.phantom.lock",
        "models/.unet.9.part/unet.weights.h5",
        "metrics/.metrics.json.1.part",
        ".reports.5.part/index.html",
    ],
)
def test_git_never_takes_up_what_a_killed_stage_left(left):
    assert subprocess.run(["git", "check-ignore", "-q", left], cwd=ROOT, check=False).returncode == 0
