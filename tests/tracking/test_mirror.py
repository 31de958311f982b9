"""Against a real MLflow: a SQLite store in the test's own repository, and DVC where DVC is what matters."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nerveseg.errors import StoreUnreachableError, TrackingError
from nerveseg.params.file import Params
from nerveseg.registry.project_params import load_project_params
from nerveseg.repository import repository_root
from nerveseg.tracking.execution import changed_params, execution_name
from nerveseg.tracking.journal import journals
from nerveseg.tracking.mirror import stage_run
from nerveseg.tracking.store import open_store
from paths import ROOT
from processes import PATIENCE, eventually, free_port, run
from tracked_repository import DIGEST, STAGE, client_of, initialised_with_dvc, losses, runs_of, scores_of, write_model

pytestmark = pytest.mark.slow

PARAMS = ROOT / "params.yaml"


@pytest.fixture
def params() -> Params:
    return load_project_params(PARAMS)


def test_a_stage_is_a_run_nested_in_the_run_of_its_execution(repo, params):
    for stage in ("preprocess", "evaluate"):
        with stage_run(stage, params):
            eventually(lambda: [parent.info.status for parent, _ in runs_of(repo)] == ["RUNNING"])

    [(parent, stages)] = runs_of(repo)
    assert set(stages) == {"preprocess", "evaluate"}
    assert parent.info.run_name == run("git", "rev-parse", "--short", "HEAD")
    assert [r.info.status for r in (parent, *stages.values())] == ["FINISHED"] * 3


def test_runs_carry_parameters_and_where_they_come_from(repo, params, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "lively-o'hare")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "c0ffee")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    with stage_run("evaluate", params):
        pass

    [(parent, stages)] = runs_of(repo)
    stage = stages["evaluate"]
    assert parent.info.run_name == "lively-o'hare"
    for one in (parent, stage):
        assert one.data.tags["git.commit"] == "c0ffee"
        assert one.data.tags["dvc.exp_name"] == "lively-o'hare"
        assert one.data.tags["dvc.exp_baseline_rev"] == "c0ffee"
        assert one.data.params["lr"] == str(params.lr)
        assert one.data.params["data.grey_range"] == "null"
        assert one.data.params["evaluate.severities"] == "[1, 3, 5]"
        assert one.data.tags["mlflow.user"] == "ada"
    assert stage.data.tags["dvc.stage"] == "evaluate"
    assert "dvc.stage" not in parent.data.tags


def test_without_a_login_a_run_is_the_system_s_user_s(repo, params, monkeypatch):
    monkeypatch.setenv("LOGNAME", "grace")
    with stage_run("evaluate", params):
        pass
    [(parent, _)] = runs_of(repo)
    assert parent.data.tags["mlflow.user"] == "grace"


def test_facts_of_a_stage_stay_on_its_own_run_and_scores_reach_the_parent(repo, params):
    for stage, parameters in (("train_unet", 4_900_000), ("train_gan", 270_000)):
        with stage_run(stage, params) as tracked:
            tracked.log_facts({"parameters": parameters, "gan": {"used": True}})
    with stage_run("evaluate", params) as tracked:
        tracked.log_scores({"gan": {"dice": 0.5}})
    [(parent, stages)] = runs_of(repo)
    assert scores_of(parent) == {"gan.dice": 0.5}
    assert scores_of(stages["train_unet"]) == {"parameters": 4_900_000, "gan.used": 1.0}
    assert scores_of(stages["train_gan"])["parameters"] == 270_000


def test_mlflow_shows_the_experiment_as_one_of_trainings(repo, params):
    with stage_run("evaluate", params):
        pass
    tags = client_of(repo).get_experiment_by_name("nerveseg").tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"


def test_code_that_is_not_committed_shows_in_the_name_but_the_pipelines_own_changes_do_not(repo):
    (repo / "dvc.lock").write_text("old")
    run("git", "add", ".")
    run("git", "commit", "-qm", "lock")
    commit = run("git", "rev-parse", "--short", "HEAD")
    (repo / "dvc.lock").write_text("new")
    assert execution_name([]) == commit
    (repo / "stage.py").write_text("changed")
    assert execution_name([]) == f"{commit}-dirty"


def test_runs_of_one_commit_are_told_apart_by_the_params_that_differ_from_it(repo, monkeypatch):
    assert changed_params() == []
    text = Path("params.yaml").read_text()
    for old, new in (("lr: 3.0e-3", "lr: 1.0e-3"), ("  model_name: nerveseg", "  model_name: other")):
        assert old in text
        text = text.replace(old, new)
    Path("params.yaml").write_text(text)
    commit = run("git", "rev-parse", "--short", "HEAD")
    assert changed_params() == ["lr=0.001", "tracking.model_name=other"]
    assert execution_name(changed_params()) == f"{commit} lr=0.001, tracking.model_name=other"
    assert execution_name([f"a={number}" for number in range(5)]) == f"{commit} a=0, a=1, a=2 and 2 more"
    with stage_run("first", load_project_params()):
        pass
    [(parent, stages)] = runs_of(repo)
    assert parent.data.tags["changed_params"] == "lr=0.001, tracking.model_name=other"
    assert parent.data.tags["mlflow.source.name"] == "python -m nerveseg.pipeline first"
    assert stages["first"].data.tags["mlflow.source.name"] == "stages/first.py"
    monkeypatch.setenv("DVC_EXP_NAME", "rates-3")
    assert execution_name(["lr=0.001"]) == "rates-3", "as DVC calls it"


def test_without_a_commit_or_readable_params_no_change_is_told(repo, monkeypatch):
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "c0ffee")
    assert changed_params() == []
    monkeypatch.delenv("DVC_EXP_BASELINE_REV")
    Path("params.yaml").write_text("[")
    assert changed_params() == []


def test_a_stage_carries_the_params_that_dvc_gives_it_and_the_parent_all(repo, params):
    with stage_run("first", params):
        pass
    [(parent, stages)] = runs_of(repo)
    assert stages["first"].data.params == {"lr": str(params.lr)}
    assert {"lr", "unet.epochs", "evaluate.severities"} <= parent.data.params.keys()


def test_the_description_opens_with_the_scores_and_the_view_of_the_runs_shows_them(repo, params):
    scores = {"exported": {"dice_nerve": 0.8011, "dice": 0.9076, "dice_nerve_low": 0.7586, "dice_nerve_high": 0.8379}}
    scores |= {"baseline_mean_mask": {"dice_nerve": 0.32, "dice": 0.134}, "counts": {"frames": 224, "subjects": 32}}
    manifest = pd.DataFrame({"frame": ["1_1"]})
    with stage_run("evaluate", params) as tracked:
        tracked.log_dataset("phantom", DIGEST, "data/phantom", "evaluation", manifest)
        tracked.log_scores(scores)
    [(parent, _)] = runs_of(repo)
    lines = parent.data.tags["mlflow.note.content"].splitlines()
    assert [line.replace("&emsp;", "") for line in lines[:4]] == [
        "|  | Shipped | Average mask |",
        "|---|---|---|",
        "| Dice, frames with nerve | **0.801** (0.759 to 0.838) | 0.320 |",
        "| Dice, all frames | **0.908** | 0.134 |",
    ]
    assert lines[5] == "Tested on 224 frames of 32 subjects of phantom. In brackets: 95 % interval."
    assert parent.data.tags["ran"] == "evaluate"
    tags = client_of(repo).get_experiment_by_name("nerveseg").tags
    columns = json.loads(json.loads(tags["mlflow.sharedViewState.scores"])["state"])["selectedColumns"]
    named = {column.split("`")[1] for column in columns if column.startswith("metrics.")}
    assert "exported.dice_nerve" in named & parent.data.metrics.keys()


def test_a_view_that_the_user_changed_stays(repo, params):
    with stage_run("first", params):
        pass
    client = client_of(repo)
    client.set_experiment_tag("1", "mlflow.sharedViewState.scores", "mine")
    with stage_run("second", params):
        pass
    assert client.get_experiment("1").tags["mlflow.sharedViewState.scores"] == "mine"


def test_a_view_that_the_user_removed_stays_away(repo, params):
    with stage_run("first", params):
        pass
    client = client_of(repo)
    client.delete_experiment_tag("1", "mlflow.sharedViewState.scores")
    with stage_run("second", params):
        pass
    assert "mlflow.sharedViewState.scores" not in client.get_experiment("1").tags


def test_a_model_stands_in_the_row_of_its_execution_and_one_with_a_flaw_is_no_challenger(repo, params):
    for flaw in ("", "outlines nothing"):
        with stage_run("evaluate", params) as tracked:
            tracked.log_model(write_model, "nerveseg", "card", flaw)
    [(parent, _)] = runs_of(repo)
    client = client_of(repo)
    versions = sorted(client.search_model_versions("name='nerveseg'"), key=lambda each: int(each.version))
    assert [each.run_id for each in versions] == [parent.info.run_id] * 2
    assert {each.source_run_id for each in client.search_logged_models(["1"])} == {parent.info.run_id}
    assert client.get_registered_model("nerveseg").aliases == {"challenger": 1}
    assert [each.tags.get("nerveseg.flaw") for each in versions] == [None, "outlines nothing"]


def test_curves_have_a_point_per_epoch(repo, params):
    with stage_run("train_unet", params) as tracked:
        for epoch in range(3):
            tracked.log_epoch(epoch, {"epoch": epoch, "loss": 1.0 / (epoch + 1), "val_dice": np.float32(0.5)})

    [(_, stages)] = runs_of(repo)
    assert set(scores_of(stages["train_unet"])) == {"loss", "val_dice"}
    history = client_of(repo).get_metric_history(stages["train_unet"].info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(0, 1.0), (1, 0.5), (2, 1.0 / 3)]


def test_scores_are_flattened_onto_the_stage_and_its_parent(repo, params):
    scores = {"unet": {"dice": 0.7, "at 50 %": np.float64(0.5)}, "cases": 12, "note": "text", "missing": None}
    with stage_run("evaluate", params) as tracked:
        tracked.log_scores(scores)

    [(parent, stages)] = runs_of(repo)
    for one in (parent, stages["evaluate"]):
        assert scores_of(one) == {"unet.dice": 0.7, "unet.at 50 _": 0.5, "cases": 12.0}


def test_files_folders_and_data_sets_are_kept(repo, params):
    (repo / "reports").mkdir()
    (repo / "reports" / "a.png").write_bytes(b"a")
    manifest = pd.DataFrame({"frame": ["1_1", "1_2"], "area": [3, 4], "has_nerve": [True, False]})
    with stage_run("visualize", params) as tracked:
        tracked.log_artifact(repo / "reports" / "a.png", "pictures")
        tracked.log_artifact("reports")
        tracked.log_dataset("phantom", DIGEST, "data/phantom", "train", manifest)

    [(parent, stages)] = runs_of(repo)
    client, stage = client_of(repo), stages["visualize"]
    assert [f.path for f in client.list_artifacts(stage.info.run_id, "pictures")] == ["pictures/a.png"]
    assert [f.path for f in client.list_artifacts(stage.info.run_id, "reports")] == ["reports/a.png"]
    assert list((repo / "mlartifacts").rglob("a.png"))
    for one in (parent, stage):
        [used] = one.inputs.dataset_inputs
        assert (used.dataset.name, used.dataset.digest) == ("phantom", DIGEST)
        assert [(tag.key, tag.value) for tag in used.tags] == [("mlflow.data.context", "train")]


@pytest.mark.parametrize(
    ("raised", "status"), [(RuntimeError("boom"), "FAILED"), (SystemExit(1), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_stage_that_raises_leaves_its_status_and_the_exception_goes_on(repo, params, raised, status):
    with pytest.raises(type(raised)), stage_run("train_unet", params):
        raise raised
    with stage_run("evaluate", params):  # as under `dvc repro --keep-going`
        pass

    [(parent, stages)] = runs_of(repo)
    assert parent.info.status == status
    assert stages["train_unet"].info.status == status
    assert stages["evaluate"].info.status == "FINISHED"


@pytest.mark.parametrize(
    "during", ["execution_name", "run_page.reproduction", "StageRun._remember", "SystemMetrics.stop"]
)
def test_a_stage_that_is_ended_while_its_run_begins_or_ends_leaves_no_run_that_seems_to_go_on(
    repo, params, monkeypatch, during
):
    patch, name = pytest.MonkeyPatch(), f"nerveseg.tracking.mirror.{during}"

    def interrupted(*_):
        patch.undo()
        raise KeyboardInterrupt

    patch.setattr(name, interrupted)
    with pytest.raises(KeyboardInterrupt), stage_run("train_unet", params):
        pass
    [(parent, stages)] = runs_of(repo)
    assert [each.info.status for each in (parent, stages["train_unet"])] == ["KILLED"] * 2
    assert parent.data.tags["stage.train_unet"] == "killed"
    assert journals() == []


def test_epochs_arrive_while_the_stage_runs(repo, params):
    with stage_run("train_unet", params) as tracked:
        for epoch in range(2):
            tracked.log_epoch(epoch, {"loss": 1.0})
            eventually(lambda epoch=epoch: len(losses(repo)) == epoch + 1)


def test_stages_that_start_at_once_create_one_store_and_none_is_locked_out(repo):
    script = STAGE.replace('run.log_epoch(0, {"loss": 0.5})', "[run.log_epoch(e, {'loss': 0.5}) for e in range(15)]")
    (repo / "stage.py").write_text(script)
    together = [subprocess.Popen([sys.executable, "stage.py", f"s{i}"], stderr=subprocess.PIPE) for i in range(4)]
    messages = [process.communicate(timeout=PATIENCE)[1] for process in together]

    assert [process.returncode for process in together] == [0] * 4, messages
    assert messages == [b""] * 4
    parents = runs_of(repo)
    assert len(parents) == 4  # by hand, each is an execution of its own
    for parent, stages in parents:
        [(_, stage)] = stages.items()
        assert parent.info.status == stage.info.status == "FINISHED"
        assert len(client_of(repo).get_metric_history(stage.info.run_id, "loss")) == 15


def test_importing_the_module_imports_no_mlflow_and_no_tensorflow():
    script = (
        "import nerveseg.tracking.mirror, sys; assert not {'mlflow', 'tensorflow', 'sqlalchemy'} & set(sys.modules)"
    )
    run(sys.executable, "-c", script)


def test_the_users_tracking_uri_wins(repo, params, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/team/mlflow.db")
    with stage_run("evaluate", params) as tracked:
        tracked.log_artifact("params.yaml")
    assert len(runs_of(tmp_path / "team")) == 1
    assert list((tmp_path / "team" / "mlartifacts").rglob("params.yaml"))
    assert not (repo / "mlflow.db").exists()


def test_a_relative_sqlite_uri_is_taken_from_the_root(repo, params, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs/mlflow.db")
    (repo / "below").mkdir()
    monkeypatch.chdir(repo / "below")
    with stage_run("evaluate", params):
        pass
    assert len(runs_of(repo / "runs")) == 1


@pytest.mark.parametrize(
    "uri",
    [
        "localhost",
        "localhost:5000",
        "127.0.0.1:5000/",
        "[::1]:5000",
        "mlflow.example.org:80/team",
        "mlflow.example.org",
        "me:secret@mlflow.example.org/team",
        "10.0.0.5",
        "me:secret@host:5000",
    ],
)
def test_an_address_without_its_scheme_is_told_to_lack_it(repo, params, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with (
        pytest.raises(TrackingError, match="without its scheme; set it to http://") as told,
        stage_run("evaluate", params),
    ):
        pass
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("uri", "scheme"),
    [
        ("htp://me:secret@localhost:5000", "htp://"),
        ("http:/localhost:5000", "http:/"),
        ("http://", "http://"),
        ("https:localhost", "https:"),
        ("postgres://me:secret@host/db", "postgres://"),
        ("ftp://host/mlruns", "ftp://"),
        ("sqlite://", "sqlite://"),
        ("databricks-uc", "databricks-uc"),
    ],
)
def test_an_address_that_mlflow_cannot_know_is_told_by_how_it_begins(repo, params, monkeypatch, uri, scheme):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with (
        pytest.raises(TrackingError, match=f"MLFLOW_TRACKING_URI begins with '{scheme}'; set it to") as told,
        stage_run("evaluate", params),
    ):
        pass
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("http://me:secret@127.0.0.1:99999", "no address (Port out of range"),
        ("http://[::1", "no address (Invalid IPv6 URL)"),
        ("postgresql+psycopg2://me:secret@host:port/db", "no address (Port could not be cast"),
        ("http://:5000", "No host supplied); correct MLFLOW_TRACKING_URI"),
        ("mysql+absent_driver://me:secret@host/db", "mysql.absent_driver); correct MLFLOW_TRACKING_URI"),
        ("mysql://me:secret@host/db", "`pip install mysqlclient` or correct MLFLOW_TRACKING_URI"),
        ("sqlite:///", "needs a file without options, for example sqlite:///mlflow.db"),
        ("sqlite:///:memory:", "needs a file without options"),
        ("sqlite:///a.db?mode=memory", "needs a file without options"),
        ("sqlite:///.", "needs a file without options"),
    ],
)
def test_an_address_that_can_never_answer_is_an_error_at_the_start(repo, params, monkeypatch, uri, told):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setitem(sys.modules, "MySQLdb", None)  # not installed
    with pytest.raises(TrackingError, match=re.escape(told)) as error, stage_run("evaluate", params):
        pytest.fail("the stage began")
    assert not isinstance(error.value, StoreUnreachableError)
    assert "secret" not in str(error.value)
    assert journals() == []


def test_databricks_without_a_login_is_an_error_that_says_how_to_log_in(repo, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(repo / "absent"))
    told = r"no login to Databricks was found\); log in with `databricks auth login` or correct"
    with pytest.raises(TrackingError, match=told) as error:  # not by a stage, which may lose patience before
        open_store("nerveseg")
    assert not isinstance(error.value, StoreUnreachableError)


def test_a_postgresql_address_without_a_driver_gets_the_one_that_is_installed(repo, params, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://me:a/b@127.0.0.1:{free_port()}/runs")
    required = params.model_copy(update={"tracking": params.tracking.model_copy(update={"required": True})})
    with pytest.raises(StoreUnreachableError, match="Connection refused"), stage_run("evaluate", required):
        pass


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns", "file:mlruns", "mlruns"])
def test_a_folder_as_store_is_refused(repo, params, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(TrackingError, match=r"folder.*unset it.*sqlite:///"), stage_run("evaluate", params):
        pass
    assert not (repo / "mlruns").exists()


def test_a_server_that_does_not_answer_is_an_error_at_once_where_it_is_required(repo, params, monkeypatch):
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://someone:secret@{address}")
    required = params.model_copy(update={"tracking": params.tracking.model_copy(update={"required": True})})
    start = time.monotonic()
    with pytest.raises(StoreUnreachableError) as failed, stage_run("evaluate", required):
        pass
    assert time.monotonic() - start < 20
    message = str(failed.value)
    assert f"http://***@{address}" in message
    assert "refused" in message
    assert "start the server" in message
    assert "tracking.enabled: false" in message
    assert "secret" not in message
    assert journals() == []


def test_a_file_that_is_no_database_is_named(repo, params):
    (repo / "mlflow.db").write_text("this is not a database, but it is long enough to be asked")
    told = r"mlflow\.db cannot be used \(file is not a database\)"
    with pytest.raises(TrackingError, match=told), stage_run("evaluate", params):
        pass


def test_an_experiment_that_was_deleted_is_told(repo, params):
    with stage_run("evaluate", params):
        pass
    client = client_of(repo)
    client.delete_experiment(client.get_experiment_by_name("nerveseg").experiment_id)
    with pytest.raises(TrackingError, match=r"'nerveseg' .* was deleted; .* restore"), stage_run("evaluate", params):
        pass


def test_the_root_is_the_users_also_in_a_copy_made_by_dvc(tmp_path, monkeypatch):
    root = tmp_path.resolve()
    copy = root / ".dvc" / "tmp" / "exps" / "tmpabc"
    (copy / ".dvc").mkdir(parents=True)
    (copy / "stages").mkdir()
    monkeypatch.chdir(copy / "stages")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert repository_root() == root
    monkeypatch.setenv("DVC_ROOT", str(root / "named"))
    assert repository_root() == root / "named"


def test_each_execution_by_dvc_is_one_parent_run(repo):
    commit = initialised_with_dvc()
    run("dvc", "repro", "-q")
    run("dvc", "repro", "-q", "--force")
    run("dvc", "exp", "run", "-q", "--temp", "-n", "aside", "-S", "lr=1e-5")

    parents = runs_of(repo)
    names = [parent.info.run_name for parent, _ in parents]
    assert [name.removesuffix("-dirty") for name in names] == [
        commit[: len(names[0])],
        commit[: len(names[0])],
        "aside",
    ]
    assert len({parent.data.tags["nerveseg.execution"] for parent, _ in parents}) == 3
    for parent, stages in parents:
        assert set(stages) == {"first", "second"}
        assert parent.info.status == "FINISHED"
        assert parent.data.tags["git.commit"] == commit
        assert scores_of(parent) == {"unet.dice": 0.7}
    assert parents[2][0].data.params["lr"] == "1e-05"
    assert parents[2][0].data.tags["dvc.exp_baseline_rev"] == commit


def test_six_queued_experiments_of_two_workers_are_six_parent_runs_with_the_learning_rate_of_each(repo, own_dvc):
    initialised_with_dvc()
    run("dvc", "exp", "run", "-q", "--queue", "-S", "lr=1e-3,1e-4,3e-4,1e-5,2e-5,3e-5")
    # The workers inherit the pipes of the command that starts them, so its output would end only with them.
    subprocess.run(
        ["dvc", "queue", "start", "-j", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=PATIENCE,
    )
    deadline = time.monotonic() + PATIENCE
    while (status := run("dvc", "queue", "status")).count("Success") < 6 and time.monotonic() < deadline:
        time.sleep(2)
    run("dvc", "queue", "stop")
    assert status.count("Success") == 6, status
    parents = runs_of(repo)
    assert sorted(float(parent.data.params["lr"]) for parent, _ in parents) == [1e-5, 2e-5, 3e-5, 1e-4, 3e-4, 1e-3]
    assert all(set(stages) == {"first", "second"} for _, stages in parents)
