"""The pipeline for real: DVC runs the stages in a repository of their own, on a tiny phantom."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from flatten_dict import flatten

from nerveseg.files.checked_folder import list_files
from nerveseg.measures.scores import AVERAGED
from nerveseg.refinement.refined_segmenter import load_training
from nerveseg.registry.project_params import load_project_params
from nerveseg.saved_models.ensemble import Ensemble
from nerveseg.saved_models.loading import load_predictor
from pipeline_workspace import STAGES, change_params, metrics, new_workspace
from processes import attempt, run
from repositories import commit
from training_workspace import run_stages, start_training

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_commands")]

ROBUST = {"unet_untuned", "unet", "control", "adversarial"}
MADE_BEFORE = ("unet_history", "gan_history", "robustness")  # than what `evaluate` writes
MODELS = ["unet", "gan", "exported"]
BASELINES = ["baseline_empty", "baseline_mean_mask"]
SCORES = {score.key for score in AVERAGED}
OF_MODELS = {"presence_auc", "ece", "ece_doubtful"}
LENGTHS = {score.key for score in AVERAGED if score.lower_is_better}
OUTLINED = "frames_outlined"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, settings):
    """After one `dvc repro`, committed."""
    folder = new_workspace(tmp_path_factory.mktemp("pipeline") / "work")
    run("dvc", "repro", cwd=folder)
    commit(folder, "reproduced")
    return folder


def test_metrics_json_holds_the_scores_of_both_models_beside_the_baselines(workspace):
    scores = metrics(workspace)
    assert set(scores) == {*MODELS, *BASELINES, "counts", "data", "degraded", "export", "shipped"}
    arm = json.loads((workspace / "models" / "gan" / "refinement.json").read_text())["arm"]
    precision = json.loads((workspace / "models" / "exported" / "exported.json").read_text())["precision"]
    assert scores["shipped"] == {"source": "gan", "arm": arm, "precision": precision}
    for model in ("unet", "gan", *BASELINES):
        assert set(scores[model]) == {"dice", "iou", "dice_nerve"}
    assert set(scores["exported"]) >= {"dice_nerve", "dice_nerve_low", "presence_sensitivity", "hd95_common"}
    numbers = [value for value in flatten(scores).values() if isinstance(value, int | float)]
    assert len(numbers) <= 40, "they fit a screen"
    frames, with_nerve = scores["counts"]["frames"], scores["counts"]["frames_with_nerve"]
    assert scores["baseline_empty"]["dice"] == pytest.approx(1 - with_nerve / frames)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("RuntimeError('no flavour')", "warning: the model was not registered (no flavour); all scores are written"),
        ("OSError(28, 'No space left on device')", "MLflow will not get all of evaluate"),
    ],
)
def test_a_registration_that_fails_is_told_and_costs_no_score(workspace, tmp_path, error, told):
    work = shutil.copytree(workspace, tmp_path / "work", symlinks=True)
    written = {path: path.read_bytes() for path in (work / "metrics").iterdir() if path.stem not in MADE_BEFORE}
    for path in written:
        path.unlink()
    with (work / "src" / "nerveseg" / "registry" / "packaging.py").open("a") as code:
        code.write(f"\n\ndef save_served(*args, **options):\n    raise {error}\n")
    done = attempt("env", "PYTHONPATH=src", sys.executable, "-m", "nerveseg.pipeline", "evaluate", cwd=work)
    assert done.returncode == 0, done.stderr
    assert told in done.stderr
    assert {path: path.read_bytes() for path in written} == written


def test_the_means_are_those_of_the_cases(workspace):
    cases = pd.read_csv(workspace / "metrics" / "cases.csv")
    scores = metrics(workspace)
    for model, rows in cases.groupby("model"):
        assert rows["dice"].mean() == pytest.approx(scores[model]["dice"])
        assert rows["iou"].mean() == pytest.approx(scores[model]["iou"])
        assert len(rows) == scores["counts"]["frames"]


def test_every_table_has_its_rows(workspace):
    folder = workspace / "metrics"
    assert pd.read_csv(folder / "unet_history.csv")["epoch"].tolist() == [1, 2, 3, 4]
    assert pd.read_csv(folder / "gan_history.csv")["epoch"].tolist() == [0, 1, 2]
    robustness = pd.read_csv(folder / "robustness.csv")
    assert set(robustness["model"]) == ROBUST
    assert len(robustness) == 4 * (1 + 8 + 1), "models; clean, eight degradations at one severity, all of them"
    assert len(pd.read_csv(folder / "thresholds.csv")) == len(MODELS) * 19
    strata = pd.read_csv(folder / "strata.csv")
    assert set(strata["model"]) == {*MODELS, *BASELINES}
    assert strata.groupby(["model", "stratum"])["frames"].sum()["unet"].to_dict() == {
        "presence": metrics(workspace)["counts"]["frames"],
        "size": metrics(workspace)["counts"]["frames_with_nerve"],
        "subject": metrics(workspace)["counts"]["frames"],
    }
    found = pd.read_csv(folder / "scores.csv").set_index(["model", "score"])["value"]
    for model in [*MODELS, *BASELINES]:
        assert set(found[model].index) == SCORES | {OUTLINED} | (OF_MODELS if model in MODELS else set())
        for score, value in metrics(workspace)[model].items():
            if score in SCORES:
                assert found[model, score] == pytest.approx(np.nan if value is None else value, nan_ok=True)
        shares = found[model].drop(list(LENGTHS | {OUTLINED}), errors="ignore").dropna()
        assert shares.between(0, 1).all()
    reliability = pd.read_csv(folder / "calibration.csv")
    assert reliability["probability"].between(reliability["low"], reliability["high"]).all()


def test_the_pictures_are_pictures_and_the_page_holds_them(workspace):
    pictures = sorted((workspace / "reports").glob("*.png"))
    expected = {
        "comparison",
        "overlays",
        "heatmaps",
        "uncertainty",
        "robustness",
        "degradations",
        "augmentations",
        "training",
    }
    assert {path.stem for path in pictures} >= expected
    for path in pictures:
        assert cv2.imread(str(path)).std() > 1, path.name
    page = (workspace / "reports" / "index.html").read_text()
    assert sum(page.count(f'src="data:image/{kind};base64,') for kind in ("png", "webp")) == len(pictures)
    cases = json.loads(re.search(r'id="case-data">(.*?)</script>', page, re.DOTALL)[1])["cases"]
    tested = pd.read_csv(workspace / "metrics" / "cases.csv").query("model == 'exported'")
    assert [case["name"] for case in cases] == tested["frame"].tolist()
    assert [case["models"]["exported"]["dice"] for case in cases] == pytest.approx(tested["dice"].tolist(), abs=1e-4)
    assert cv2.imread(str(workspace / "reports" / "augmentations.png")).std() > 1


def test_nothing_that_dvc_writes_is_left_for_git_to_track_but_the_metrics(workspace):
    tracked = run("git", "ls-files", "data", "models", "metrics", "reports", cwd=workspace).split()
    given = {"data/.gitignore", "models/.gitignore", "models/fresh/README.md", "metrics/.gitignore", ".gitignore"}
    assert set(tracked) - given == {
        f"metrics/{name}"
        for name in (
            "metrics.json", "cases.csv", "scores.csv", "strata.csv", "calibration.csv", "robustness.csv", "thresholds.csv", "unet_history.csv", "gan_history.csv",
        )
    }  # fmt: skip
    assert not run("git", "status", "--porcelain", cwd=workspace)


def test_no_output_knows_where_or_when_it_was_made(workspace):
    written = [(workspace / "models").rglob(f"*.{kind}") for kind in ("json", "xml")]
    for path in [*(workspace / "metrics").iterdir(), *written[0], *written[1]]:
        assert str(workspace) not in path.read_text()
    assert str(workspace) not in (workspace / "reports" / "index.html").read_text()


def test_a_second_repro_does_nothing(workspace):
    assert "Data and pipelines are up to date." in run("dvc", "repro", cwd=workspace)


def test_the_registered_challenger_and_the_champion_segment_as_the_model_of_the_pipeline(workspace, tmp_path):
    """Here, before another experiment makes a challenger of its own; `evaluate` has made the first one the champion."""
    import mlflow

    frames = sorted(path for path in (workspace / "data" / "phantom").glob("*.tif") if "_mask" not in path.name)[:4]
    masks = []
    client = mlflow.MlflowClient(f"sqlite:///{workspace / 'mlflow.db'}")
    champion = client.get_model_version_by_alias("nerveseg", "champion")
    assert (int(champion.version), champion.tags["nerveseg.gate"].split(",")[0]) == (1, "passed: the first champion")
    for model in ("models/exported", "models:/nerveseg@challenger", "models:/nerveseg@champion"):
        out = tmp_path / model.rpartition("/")[2]
        run(
            sys.executable, "-m", "nerveseg.cli", "predict", *map(str, frames), "--out", str(out), "--model", model, cwd=workspace
        )  # fmt: skip
        masks.append({path.name: path.read_bytes() for path in out.glob("*_mask.png")})
    assert len(masks[0]) == 4
    assert masks[0] == masks[1] == masks[2]


@pytest.fixture(scope="module")
def experiment(workspace):
    """What `dvc exp run` with another learning rate and no critic printed and made; the workspace is put back after it."""
    out = run("dvc", "exp", "run", "-n", "slow", "-S", "lr=1e-5", "-S", "gan.critic=none", cwd=workspace)
    found = {
        "out": out,
        "lr": load_project_params(workspace / "params.yaml").lr,
        "metrics": metrics(workspace),
        "robustness": pd.read_csv(workspace / "metrics" / "robustness.csv"),
        "report": (workspace / "reports" / "index.html").read_text(),
        "diff": run("dvc", "metrics", "diff", "--md", cwd=workspace),
        "back": run("dvc", "exp", "run", "-S", "lr=0.01", "-S", "gan.critic=patch", cwd=workspace),
    }
    run("git", "checkout", "-q", ".", cwd=workspace)
    run("dvc", "checkout", "-q", cwd=workspace)
    return found


def test_an_experiment_with_another_learning_rate_trains_again_but_prepares_nothing_again(workspace, experiment):
    for stage in ("phantom", "preprocess", "augment"):
        assert f"Stage '{stage}' didn't change, skipping" in experiment["out"]
    for stage in ("train_unet", "train_gan", "export", "predict", "robustness", "evaluate", "visualize"):
        assert f"Running stage '{stage}'" in experiment["out"]
    assert experiment["lr"] == pytest.approx(1e-5)
    assert experiment["metrics"] != metrics(workspace)
    assert "| metrics/metrics.json | unet.dice" in experiment["diff"]


def test_an_experiment_that_was_run_before_is_served_from_the_cache(experiment):
    for stage in ("train_unet", "train_gan", "export", "predict", "robustness", "evaluate", "visualize"):
        assert f"Stage '{stage}' is cached - skipping run" in experiment["back"]


def test_each_execution_is_one_parent_run_with_its_stages_nested(workspace, experiment):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{workspace / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("nerveseg").experiment_id])
    parents = {run.info.run_id: run for run in runs if "mlflow.parentRunId" not in run.data.tags}
    stages = {run_id: set() for run_id in parents}
    for found in runs:
        if "mlflow.parentRunId" in found.data.tags:
            stages[found.data.tags["mlflow.parentRunId"]].add(found.info.run_name)
    first, second = sorted(parents.values(), key=lambda found: found.info.start_time)
    assert stages[first.info.run_id] == set(STAGES)
    assert stages[second.info.run_id] == {
        "train_unet",
        "train_gan",
        "export",
        "predict",
        "robustness",
        "evaluate",
        "visualize",
    }
    assert first.data.metrics["unet.dice"] == pytest.approx(metrics(workspace)["unet"]["dice"])
    assert first.data.params["lr"] == "0.01"
    assert second.info.run_name == "slow"
    for parent in (first, second):
        assert parent.info.status == "FINISHED"
        assert parent.inputs.dataset_inputs[0].dataset.name == "phantom"


def test_the_registered_challenger_predicts_as_the_model_of_the_pipeline(workspace, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace / 'mlflow.db'}")
    shipped = load_predictor(workspace / "models" / "exported")
    frames = list(np.random.default_rng(0).integers(0, 255, (2, 40, 70)).astype(np.uint8))
    request = pd.DataFrame({"frame": [frame.tolist() for frame in frames]})
    registered = mlflow.pyfunc.load_model("models:/nerveseg/1").predict(request, params={"arrays": True})
    for found, expected in zip(registered, shipped.predict(frames), strict=True):
        assert np.array_equal(found["mask"], expected.mask)
        assert np.array_equal(np.float32(found["probability"]), expected.probability)
        assert (found["height"], found["width"]) == (40, 70)


def test_a_finished_pipeline_leaves_no_checkpoint(workspace):
    assert list((workspace / ".nerveseg" / "checkpoints").iterdir()) == []


def test_the_plots_that_dvc_draws_find_their_columns(workspace):
    page = Path(run("dvc", "plots", "show", cwd=workspace).strip().removeprefix("file://"))
    text = page.read_text()
    for title in ("Dice while the U-Net trains", "Loss while the U-Net trains", "Refiner against critic"):
        assert title in text
    assert '"control_val_dice_degraded"' in text


def test_a_unet_goes_on_from_a_trained_one_and_trains_again_when_that_one_changes(workspace, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(workspace, work)
    shutil.copytree(work / "models" / "unet", work / "models" / "pretrained")
    trained = pd.read_csv(work / "metrics" / "unet_history.csv")["val_dice"].max()
    changes = ("-S", "unet.init_from=models/pretrained", "-S", "lr=1e-6", "-S", "tracking.enabled=false")
    out = run("dvc", "exp", "run", *changes, "train_unet", cwd=work)
    assert "Running stage 'train_unet'" in out
    assert pd.read_csv(work / "metrics" / "unet_history.csv")["val_dice"].iloc[0] == pytest.approx(trained, abs=0.05)
    assert not run("dvc", "status", "train_unet", cwd=work).count("pretrained")
    config = work / "models" / "pretrained" / "segmenter.json"
    manifest = pd.read_csv(work / "data" / "processed" / "manifest.csv", dtype={"subject": str})
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"learnt_frames": sorted(manifest["pixels"].str[:16])}))
    list_files(config.parent)
    done = attempt("dvc", "repro", "train_unet", cwd=work)
    assert (
        "models/pretrained has learnt from 10 of the 10 test frames, and so from 2 of the test subjects" in done.stderr
    )
    assert "epoch" not in done.stdout + done.stderr
    config.write_text("{}")
    assert "modified:           models/pretrained" in run("dvc", "status", "train_unet", cwd=work)
    done = attempt("dvc", "repro", "train_unet", cwd=work)
    assert done.returncode != 0
    assert "models/pretrained/segmenter.json is damaged or was changed" in done.stderr


def test_an_ensemble_is_scored_beside_the_others_and_one_of_a_model_twice_scores_as_that_model(workspace, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(workspace, work)
    model = load_training(work / "models" / "gan")
    (work / "models" / "ensemble").mkdir()
    Ensemble({"one": model, "other": model}).save(work / "models" / "ensemble")
    change_params(work, {"evaluate": {"ensemble": "models/ensemble"}})
    changed = run("dvc", "status", cwd=work)
    assert "export:" in changed
    assert "train_gan:" not in changed
    run_stages(work, "export", "predict", "robustness")
    run("env", "PYTHONPATH=src", sys.executable, "-m", "nerveseg.pipeline", "evaluate", cwd=work)
    run_stages(work, "visualize")
    scores = metrics(work)
    assert (scores["shipped"]["source"], scores["shipped"]["arm"]) == ("ensemble", None)
    page = (work / "reports" / "index.html").read_text()
    assert "“Shipped” is the ensemble, in" in page
    table = page[page.index('id="cutoffs"') :]
    assert "those of the ensemble, which ships, are the medians of its members’" in table
    assert 0 < table.index(">U-Net<") < table.index(">Arm chosen on val<") < table.index(">Shipped<")
    assert scores["ensemble"] == pytest.approx(scores["gan"])
    assert scores["exported"]["dice"] == pytest.approx(scores["ensemble"]["dice"], abs=0.002)
    exported = [json.loads(path.read_text()) for path in (work / "mlartifacts").glob("**/predictor/exported.json")]
    assert sorted(len(content["members"]) for content in exported) == [1] * (len(exported) - 1) + [2]
    assert set(pd.read_csv(work / "metrics" / "robustness.csv")["model"]) == ROBUST | {"ensemble"}
    manifest = pd.read_csv(work / "data" / "processed" / "manifest.csv", dtype={"subject": str})
    tested = manifest.loc[manifest["split"] == "test", "subject"].iloc[0]
    (config,) = (work / "models" / "ensemble" / "members" / "other").rglob("segmenter.json")
    content = json.loads(config.read_text())
    content["learnt_frames"].append(manifest.loc[manifest["subject"] == tested, "pixels"].iloc[0][:16])
    config.write_text(json.dumps(content))
    for folder in (config.parent, work / "models" / "ensemble" / "members" / "other", work / "models" / "ensemble"):
        list_files(folder)
    process = start_training(work, stage="predict")
    process.join()
    assert process.exitcode == 1
    assert (
        f"models/ensemble has learnt from 1 of the 10 test frames, and so from 1 of the test subjects ({tested})"
        in (work / "output.txt").read_text()
    )


def test_the_gate_passes_equal_scores_and_fails_a_fall(workspace, tmp_path):
    gate = (sys.executable, "-m", "nerveseg.cli", "gate", "--base")
    assert "passed" in run(*gate, "HEAD", cwd=workspace)
    cases = pd.read_csv(workspace / "metrics" / "cases.csv", dtype={"subject": str})
    rows = (cases["model"] == "exported") & cases["has_nerve"]
    fall = (0.95 - cases.loc[rows, "dice"]).mean()
    cases.loc[rows, "dice"] = 0.95  # of a base that was better, whatever these few epochs reach on this processor
    better = tmp_path / "better"
    run("git", "worktree", "add", "--detach", better, cwd=workspace)
    cases.to_csv(better / "metrics" / "cases.csv", index=False)
    done = attempt(*gate, commit(better), cwd=workspace)
    assert done.returncode == 1
    assert f"dice_nerve fell by {fall:.4f}" in done.stdout


def kill_while_it_trains(workspace: Path, stage: str, *command: str) -> None:
    """Start a command, and end it and all that it started at once after the first epoch of a stage."""
    process = subprocess.Popen(
        command, cwd=workspace, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not list((workspace / ".nerveseg" / "checkpoints").glob(f"{stage}-*.npz")) and process.poll() is None:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_run_killed_on_the_way_and_one_without_tracking_give_the_same_metrics_to_the_bit(
    workspace, own_processes, tmp_path, request
):
    other = new_workspace(tmp_path / "other", tracking={"enabled": False})
    kill_while_it_trains(other, "train_unet", "dvc", "repro")
    assert not (other / "models" / "unet").exists()
    kill_while_it_trains(other, "train_gan", "dvc", "repro")
    assert (other / "models" / "unet").exists()
    assert not (other / "models" / "gan").exists()
    assert "resuming after epoch" in run("dvc", "repro", "train_gan", cwd=other)
    request.getfixturevalue("own_dvc")  # nobody kills the stages from here on
    run("dvc", "repro", cwd=other)
    assert (other / "metrics" / "metrics.json").read_bytes() == (workspace / "metrics" / "metrics.json").read_bytes()
    assert not (other / "mlflow.db").exists()
    for output in ("models/unet", "models/gan", "models/exported", "metrics", "reports"):
        for path in sorted(path for path in (workspace / output).rglob("*") if path.is_file()):
            assert without_commit((other / path.relative_to(workspace)).read_bytes()) == without_commit(
                path.read_bytes()
            ), path


def without_commit(content):
    """A report without the commit that it names: each repository of a test has its own."""
    return re.sub(rb"<dd>commit \w+", b"", content)


def test_an_experiment_in_a_copy_of_the_repository_that_is_killed_goes_on_in_another_copy(
    workspace, own_processes, tmp_path
):
    work = shutil.copytree(workspace, tmp_path / "work")
    changes = ("-S", "lr=0.02", "-S", "unet.epochs=8", "-S", "tracking.enabled=false")
    command = ("dvc", "exp", "run", "--temp", "-n", "in-a-copy", *changes, "train_unet")
    kill_while_it_trains(work, "train_unet", *command)
    assert "resuming after epoch" in run(*command, cwd=work)
    assert list((work / ".nerveseg" / "checkpoints").iterdir()) == []


def test_without_a_critic_the_pipeline_has_the_control_alone(experiment):
    assert set(experiment["robustness"]["model"]) == {"unet_untuned", "unet", "control"}
    assert set(experiment["metrics"]["degraded"]) == {"unet_untuned", "unet", "control"}
    assert "against a critic" not in experiment["report"]
