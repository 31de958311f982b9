"""`python -m nerveseg.pipeline STAGE`: what a stage's script says and writes reaches MLflow, and the script ends with it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest

from nerveseg.errors import TrackingError
from nerveseg.pipeline.__main__ import run_stage
from nerveseg.registry.project_params import load_project_params
from nerveseg.tracking.journal import FOLDER, journals
from paths import ROOT
from processes import PATIENCE, attempt, eventually, run, started
from tracked_repository import client_of, runs_of, scores_of

pytestmark = pytest.mark.slow

RUNNER = [sys.executable, "-m", "nerveseg.pipeline"]
SAYS = "from pathlib import Path\nfrom nerveseg.processes import progress\n"
WAITS = """
import sys, time
from pathlib import Path
from nerveseg.processes import progress
from nerveseg.processes.stage import stage_process

with stage_process():
    progress.facts({"frames": 3})
    Path("begun").touch()
    try:
        time.sleep(600)
    finally:
        Path("cleaned").write_text("up")
"""


@pytest.fixture
def repo(repo, tables, monkeypatch):
    """Its store has its tables already: processes of their own would take seconds to make them."""
    (repo / "stages").mkdir()
    shutil.copy(tables, repo / "mlflow.db")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    return repo


def stage(repo, name, script):
    (repo / "stages" / f"{name}.py").write_text(script)


def run_here(name):
    run_stage(name, load_project_params())


def told_something(repo) -> bool:
    """The store is made before; a look at it while it is made would disturb that."""
    return any(path.is_file() for path in (repo / FOLDER).rglob("*.jsonl"))


def assert_nothing_arrived(repo, tables) -> None:
    """Neither runs nor artifacts."""
    [store] = repo.glob("ml*")
    assert store.read_bytes() == tables.read_bytes()


def stages_of(repo):
    [(parent, stages)] = runs_of(repo)
    return parent, stages


def test_a_python_without_the_packages_is_told_to_activate_the_environment():
    bare = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path.append({str(ROOT / 'src')!r}); import nerveseg.pipeline",
    ]
    ended = subprocess.run(bare, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: {sys.executable} lacks nerveseg's packages; activate them")
    assert "Traceback" not in ended.stderr


def test_what_a_script_says_is_on_its_run_which_ends_with_it(repo):
    stage(repo, "export", SAYS + "progress.facts({'layers': 20, 'megabytes': 4.5})")
    run_here("export")
    parent, stages = stages_of(repo)
    assert scores_of(stages["export"]) == {"layers": 20.0, "megabytes": 4.5}
    assert [each.info.status for each in (parent, stages["export"])] == ["FINISHED"] * 2
    assert parent.data.tags["stage.export"] == "ran"


def test_epochs_are_in_mlflow_while_the_script_still_runs(repo):
    waits = "\nimport time\nuntil = time.monotonic() + 600\nwhile not Path('go').exists() and time.monotonic() < until: time.sleep(0.05)\n"
    stage(repo, "train_gan", SAYS + "progress.training(Path('r.json'))\nprogress.epoch(0, {'loss': 0.5})" + waits)
    with started([*RUNNER, "train_gan"]) as runner:
        eventually(lambda: told_something(repo))
        eventually(
            lambda: (
                runs_of(repo)
                and "train_gan" in runs_of(repo)[0][1]
                and scores_of(runs_of(repo)[0][1]["train_gan"]) == {"loss": 0.5}
            )
        )
        assert runner.poll() is None
        (repo / "go").touch()
        assert runner.wait(PATIENCE) == 0


def test_a_training_that_goes_on_continues_its_run_with_each_epoch_once(repo):
    epochs = SAYS + "import sys\nprogress.training(Path('r.json').absolute())\n"
    stage(repo, "train_gan", epochs + "[progress.epoch(n, {'loss': 1 / n}) for n in (1, 2, 3)]; sys.exit(143)")
    attempt(*RUNNER, "train_gan")
    parent, stages = stages_of(repo)
    assert [each.info.status for each in (parent, stages["train_gan"])] == ["KILLED"] * 2
    stage(repo, "train_gan", epochs + "[progress.epoch(n, {'loss': 1 / n}) for n in (3, 4)]")
    run(*RUNNER, "train_gan")
    _, stages = stages_of(repo)
    points = client_of(repo).get_metric_history(stages["train_gan"].info.run_id, "loss")
    assert [point.step for point in points] == [1, 2, 3, 4]


def test_a_worker_that_is_not_the_chief_mirrors_nothing(repo):
    stage(repo, "train_gan", SAYS + "progress.training(None)\nprogress.epoch(0, {'loss': 1})")
    run_here("train_gan")
    assert runs_of(repo) == []
    assert journals() == []


@pytest.mark.skipif(find_spec("pynvml") is not None, reason="MLflow measures the GPUs")
def test_a_stage_that_reports_numbers_alone_leaves_mlflow_to_the_process_that_delivers_them(repo):
    stage(repo, "export", SAYS + "progress.facts({'layers': 20})")
    run_it = "import sys; from nerveseg.pipeline.__main__ import main; main(); assert 'mlflow' not in sys.modules"
    run(sys.executable, "-c", run_it, "export")
    _, stages = stages_of(repo)
    assert scores_of(stages["export"]) == {"layers": 20.0}


def test_without_tracking_nothing_is_written_and_mlflow_is_not_imported(repo, tables):
    (repo / "params.yaml").write_text((repo / "params.yaml").read_text().replace("enabled: true", "enabled: false"))
    stage(
        repo,
        "train_gan",
        SAYS + "progress.training(Path('r.json'))\nfor n in range(5000): progress.epoch(n, {'loss': 1})",
    )
    run_it = "import sys; from nerveseg.pipeline.__main__ import main; main(); assert 'mlflow' not in sys.modules"
    run(sys.executable, "-c", run_it, "train_gan")
    assert_nothing_arrived(repo, tables)
    assert journals() == []


@pytest.mark.parametrize(("code", "status"), [(1, "FAILED"), (130, "KILLED"), (143, "KILLED")])
def test_the_exit_code_of_a_script_is_passed_on_and_tells_how_its_run_ended(repo, code, status):
    stage(repo, "augment", f"import sys; sys.exit({code})")
    with pytest.raises(SystemExit) as ended:
        run_here("augment")
    assert ended.value.code == code
    parent, stages = stages_of(repo)
    assert [each.info.status for each in (parent, stages["augment"])] == [status] * 2


def test_a_script_that_fails_before_its_first_word_is_a_failed_run(repo):
    stage(repo, "train_unet", "raise SystemExit(1)")
    (repo / "data" / "processed").mkdir(parents=True)
    with pytest.raises(SystemExit):
        run_here("train_unet")
    _, stages = stages_of(repo)
    assert stages["train_unet"].info.status == "FAILED"


def test_a_script_that_was_killed_is_told_with_what_often_kills_one(repo, capfd):
    stage(repo, "augment", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(SystemExit) as ended:
        run_here("augment")
    assert ended.value.code == 128 + signal.SIGKILL
    assert "augment was ended by SIGKILL; often the memory was full" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("to_all", [False, True])
def test_what_ends_the_runner_ends_the_script_which_cleans_up(repo, number, to_all):
    stage(repo, "augment", WAITS)
    minded = "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); from nerveseg.pipeline.__main__ import main; main()"
    with started([sys.executable, "-c", minded, "augment"], stderr=subprocess.PIPE) as runner:
        eventually((repo / "begun").exists)
        eventually(lambda: told_something(repo))
        eventually(lambda: runs_of(repo) and scores_of(runs_of(repo)[0][1].get("augment", runs_of(repo)[0][0])))
        (os.killpg if to_all else os.kill)(runner.pid, number)
        assert runner.wait(PATIENCE) == (130 if number == signal.SIGINT else 143)
        assert (repo / "cleaned").read_text() == "up"
        assert len(runner.stderr.read().splitlines()) <= 2
    _, stages = stages_of(repo)
    assert stages["augment"].info.status == "KILLED"


def test_that_dvc_has_ended_is_told_once(repo):
    stage(repo, "augment", WAITS)
    dvc = "import os, subprocess, sys; subprocess.run(sys.argv[1:], env=os.environ | {'DVC_STAGE': 'augment'})"
    with started([sys.executable, "-c", dvc, *RUNNER, "augment"], stderr=subprocess.PIPE) as process:
        eventually((repo / "begun").exists)
        process.terminate()
        told = process.stderr.read()  # until the runner has closed it
    assert told.count("`dvc` has ended, and this stage with it") == 1
    assert (repo / "cleaned").exists()


def test_a_runner_that_was_killed_takes_the_script_with_it(repo):
    stage(repo, "augment", WAITS)
    with started([*RUNNER, "augment"], stderr=subprocess.DEVNULL) as runner:
        eventually((repo / "begun").exists)
        runner.kill()
        eventually((repo / "cleaned").exists)


def test_a_store_that_is_set_up_wrongly_ends_the_script_at_once(repo, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(repo / "runs"))
    stage(repo, "augment", WAITS)
    began = time.monotonic()
    with pytest.raises(TrackingError, match="folder"):
        run_here("augment")
    assert time.monotonic() - began < 300  # seconds; the script sleeps for 600


def test_a_script_that_is_ended_for_its_store_leaves_the_last_word_to_the_store(repo, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(repo / "runs"))
    stage(repo, "train_unet", WAITS.replace('facts({"frames": 3})', 'training(Path("record"))'))
    with pytest.raises(TrackingError, match="folder"):
        run_here("train_unet")
    assert capfd.readouterr().err == ""


def test_a_script_that_is_run_by_itself_knows_no_mlflow(repo, tables, own_processes):
    stage(repo, "export", SAYS + "progress.facts({'layers': 20})\nimport sys\nassert 'mlflow' not in sys.modules")
    run(sys.executable, "stages/export.py")
    assert_nothing_arrived(repo, tables)


@pytest.mark.parametrize("typed", [[], ["augmnt"], ["augment", "evaluate"]])
def test_a_stage_that_is_not_there_is_refused_with_those_that_are(repo, tables, typed):
    stage(repo, "augment", "")
    done = attempt(*RUNNER, *typed)
    assert done.returncode == 1
    assert done.stderr.startswith("error: `python -m nerveseg.pipeline` was given")
    assert "give it one stage: augment" in done.stderr
    assert_nothing_arrived(repo, tables)


def test_where_mlflow_is_not_installed_no_stage_begins(repo, monkeypatch):
    stage(repo, "phantom", "from pathlib import Path\nPath('begun').touch()")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    told = r"this needs mlflow, which is not installed; run `pip install .*\[tracking\].*`, or turn tracking off: tracking\.enabled"
    with pytest.raises(TrackingError, match=told):
        run_here("phantom")
    assert not (repo / "begun").exists()
