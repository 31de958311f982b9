"""`nerveseg folds` on a repository of DVC experiments that are made in seconds: their one stage copies a model."""

import shutil

import pytest
import yaml

from drawn_models import member
from nerveseg.cli import main
from nerveseg.errors import DatasetError, ModelError
from nerveseg.experiments.cross_validation import experiment_runs, groups_of, report, write_ensemble
from nerveseg.saved_models.ensemble import Ensemble
from nerveseg.saved_models.loading import load_predictor
from processes import run
from repositories import commit, make_repository
from score_tables import COLUMNS, score_rows

pytestmark = pytest.mark.slow

DVC_YAML = """stages:
  train:
    cmd: mkdir -p models && cp -r prepared/${split.fold} models/gan
    params: [split, seed, lr]
    outs: [models/gan]
  evaluate:
    cmd: mkdir -p metrics && cp prepared/${split.fold}.csv metrics/scores.csv
    deps: [models/gan]
    params: [split]
    plots:
      - metrics/scores.csv: {cache: false}
"""


def scores(dice):
    values = dict.fromkeys(("dice", "iou", "iou_nerve", "presence_sensitivity", "presence_specificity"), 0.5)
    return score_rows({model: {**values, "dice_nerve": dice} for model in ("unet", "gan")})


@pytest.fixture(scope="module")
def made(tmp_path_factory, settings):
    folder = tmp_path_factory.mktemp("folds") / "work"
    folder.mkdir()
    for fold, dice in enumerate((0.6, 0.7, 0.9, 0.1)):
        (folder / "prepared" / str(fold)).mkdir(parents=True)
        member(fold).save(folder / "prepared" / str(fold))
        scores(dice).to_csv(folder / "prepared" / f"{fold}.csv", index=False)
    (folder / "dvc.yaml").write_text(DVC_YAML)
    split = {"folds": 4, "fold": 3, "test_subjects": [8, 9]}
    (folder / "params.yaml").write_text(yaml.safe_dump({"seed": 1, "lr": 0.1, "split": split}))
    make_repository(folder, dvc=True)
    run("dvc", "repro", cwd=folder)
    commit(folder, "reproduced")
    run("dvc", "exp", "run", "-n", "half", "-S", "split.fold=0", "train", cwd=folder)
    run("git", "checkout", "-q", ".", cwd=folder)
    run("dvc", "checkout", "-q", cwd=folder)
    for fold in range(3):
        run("dvc", "exp", "run", "-n", f"fold-{fold}", "-S", f"split.fold={fold}", cwd=folder)
    run("dvc", "exp", "run", "-n", "faster", "-S", "lr=0.3", cwd=folder)
    return folder


@pytest.fixture
def work(made, monkeypatch):
    monkeypatch.chdir(made)
    return made


def told(*arguments):
    """What `nerveseg folds` ended with."""
    with pytest.raises(SystemExit) as ended:
        main(["folds", *arguments])
    return ended.value.code


def test_runs_that_differ_in_fold_or_seed_alone_belong_together(work):
    groups = groups_of(experiment_runs()[0])
    assert [[run.name for run in group] for group in groups] == [["fold-0", "fold-1", "fold-2"], ["faster"]]
    assert [run.turn for run in groups[0]] == [(0, 1), (1, 1), (2, 1)]


def test_the_table_tells_mean_spread_and_the_folds_that_are_missing(work, capsys):
    assert told("fold-0", "fold-1", "fold-2", "fold-1") == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if line.startswith("gan.dice_nerve "))
    assert row.split()[1:] == ["3", "0.7333", "0.1528", "0.6000", "0.9000"]
    assert "folds without a finished run: 3" in shown
    assert "group" not in shown


def test_groups_are_told_apart_by_what_differs(work):
    shown = report(groups_of(experiment_runs()[0]))
    assert "group 1 of 2: lr 0.1\n" in shown
    assert "group 2 of 2: lr 0.3\n" in shown


def test_an_experiment_that_ran_a_part_of_the_pipeline_is_left_out_and_told(work, capsys):
    assert told() == 0
    shown = capsys.readouterr()
    assert "left out: half did not run the whole pipeline" in shown.err
    assert "half" not in shown.out
    assert "half did not run the whole pipeline" in told("half", "fold-1")


def test_an_ensemble_of_the_experiments_has_their_models_and_may_be_made_again(work, capsys):
    for _ in range(2):
        assert told("fold-0", "fold-2", "--ensemble", "models/ensemble") == 0
    next_step = "dvc exp run -S 'split.test_subjects=[8,9]' -S evaluate.ensemble=models/ensemble"
    assert next_step in capsys.readouterr().out
    ensemble = load_predictor(work / "models" / "ensemble")
    assert isinstance(ensemble, Ensemble)
    for name, fold in (("fold-0", 0), ("fold-2", 2)):
        ours, theirs = (each.unet.get_layer("logits").get_weights() for each in (ensemble.members[name], member(fold)))
        assert (ours[0] == theirs[0]).all()
    (work / "models" / "ensemble" / "members" / "notes.txt").touch()
    with pytest.raises(ModelError, match=r"notes\.txt is not part of the ensemble in"):
        write_ensemble(groups_of(experiment_runs(["fold-0", "fold-2"])[0]), work / "models" / "ensemble")
    (work / "models" / "ensemble" / "members" / "notes.txt").unlink()
    write_ensemble(groups_of(experiment_runs(["fold-0", "fold-2"])[0]), work / "models" / "ensemble")
    shutil.rmtree(work / "models" / "ensemble")


def test_an_ensemble_of_an_unfinished_cross_validation_must_be_asked_for_by_name(work):
    assert "folds 3 have no finished run" in told("--ensemble", "models/ensemble")
    assert not (work / "models" / "ensemble").exists()


def test_experiments_that_differ_in_more_are_no_ensemble_nor_is_one_alone(work):
    with pytest.raises(ModelError, match=r"differ in more than fold and seed.*fold-0 fold-1 fold-2; faster"):
        write_ensemble(groups_of(experiment_runs()[0]), work / "models" / "ensemble")
    with pytest.raises(ModelError, match="faster is the only experiment"):
        write_ensemble(groups_of(experiment_runs(["faster", "faster"])[0]), work / "models" / "ensemble")
    assert not (work / "models" / "ensemble").exists()


@pytest.mark.parametrize("output", ["prepared", "params.yaml", ".", ".."])
def test_an_ensemble_replaces_nothing_but_an_ensemble(work, output):
    before = sorted(path.name for path in work.iterdir())
    assert "holds no ensemble; name a new folder" in told("fold-0", "fold-1", "--ensemble", output)
    assert sorted(path.name for path in work.iterdir()) == before


@pytest.mark.parametrize("output", ["models/gan", "models/gan/ensemble"])
def test_an_ensemble_is_not_written_where_the_pipeline_would_delete_it(work, output):
    message = told("fold-0", "fold-1", "--ensemble", output)
    assert "the pipeline replaces models/gan and all in it; name a new folder" in message
    assert not (work / "models" / "gan" / "ensemble").exists()


def test_a_folder_that_cannot_be_made_is_told(work):
    message = told("fold-0", "fold-1", "--ensemble", "params.yaml/inside")
    assert "params.yaml/inside cannot be written (File exists); name another folder" in message


def test_a_model_that_is_in_no_cache_is_told_with_its_experiment(work):
    cache = work / ".dvc" / "cache"
    cache.rename(work / ".dvc" / "elsewhere")
    try:
        with pytest.raises(ModelError, match=r"models/gan of experiment fold-0 is not available .*dvc exp pull"):
            write_ensemble(groups_of(experiment_runs(["fold-0", "fold-1"])[0]), work / "models" / "ensemble")
    finally:
        shutil.rmtree(cache, ignore_errors=True)
        (work / ".dvc" / "elsewhere").rename(cache)


def test_an_unknown_experiment_is_told_with_those_that_there_are(work):
    with pytest.raises(DatasetError, match=r"called fold-9; `dvc exp list` shows .*fold-0"):
        experiment_runs(["fold-9"])


def test_a_commit_without_experiments_says_how_to_make_some(work, tmp_path, monkeypatch):
    run("git", "clone", "-q", str(work), "clone", cwd=tmp_path)
    monkeypatch.chdir(tmp_path / "clone")
    with pytest.raises(DatasetError, match=r"no finished experiment; make some with `dvc exp run --queue"):
        experiment_runs()


@pytest.mark.parametrize("commands", [[], ["git init -q"], ["git init -q", "dvc init -q"]])
def test_outside_of_a_dvc_repository_with_a_commit_one_sentence_says_so(tmp_path, monkeypatch, commands):
    for words in commands:
        run(*words.split(), cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    assert "experiments need a DVC repository with a commit" in told()


@pytest.mark.parametrize(
    "table", ["", "{", "model,score\n", f"{','.join(COLUMNS)}\n", f"{','.join(COLUMNS)}\ngan,dice,1,1,0.5,,,\n"]
)
def test_an_experiment_whose_scores_cannot_be_used_is_left_out(table, monkeypatch):
    texts = {
        "params.yaml": "seed: 1\nsplit: {fold: 0}",
        "dvc.lock": "stages: {}",
        "metrics/scores.csv": table,
    }
    monkeypatch.setattr("nerveseg.experiments.cross_validation.committed", lambda _, path: texts[path])
    monkeypatch.setattr("nerveseg.experiments.cross_validation.experiments", lambda: {"odd": "0"})
    with pytest.raises(DatasetError, match=r"odd has no usable params.yaml, dvc.lock and metrics/scores.csv"):
        experiment_runs()
