"""Promotion in a real MLflow: a SQLite store whose registered models keep cases made on the spot."""

import re
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from case_tables import cases, changed
from command_line import nerveseg
from nerveseg.errors import ComparisonError, ModelError, TrackingError
from nerveseg.registry import promotion
from nerveseg.registry.download import CASES
from nerveseg.registry.project_params import load_project_params
from nerveseg.registry.promotion import CHAMPION, GATE_TAG, draws_nothing, promote, promote_where_asked
from nerveseg.tracking.messages import KEY_TAG
from nerveseg.tracking.mirror import stage_run
from paths import ROOT

pytestmark = pytest.mark.slow

NAME = "nerveseg"


@pytest.fixture
def params():
    return load_project_params(ROOT / "params.yaml")


@pytest.fixture
def folder(tmp_path, monkeypatch, quick_store):
    """The working directory, whose store is where stages would report to."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    return tmp_path


@pytest.fixture
def client(folder):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    client.create_registered_model(NAME)
    client.create_experiment("nerveseg", artifact_location=(folder / "mlartifacts").as_uri())
    return client


def register(client, table) -> int:
    """A new version, the challenger, with these cases of what ships, or with none."""
    experiment = client.get_experiment_by_name("nerveseg").experiment_id
    logged = client.create_logged_model(experiment)
    files = Path(client.tracking_uri.removeprefix("sqlite:///")).parent / f"files-{logged.model_id}"
    files.mkdir()
    (files / "MLmodel").write_text("artifact_path: model\n")
    if table is not None:
        pd.concat([cases(0.1).assign(model="unet"), table]).to_csv(files / CASES, index=False)
    client.log_model_artifacts(logged.model_id, str(files))
    version = client.create_model_version(
        NAME, logged.artifact_location, model_id=logged.model_id, tags={KEY_TAG: logged.model_id}
    )
    client.set_registered_model_alias(NAME, "challenger", version.version)
    return int(version.version)


def key(client, version: int) -> str:
    return client.get_model_version(NAME, str(version)).tags[KEY_TAG]


def champion(client) -> int | None:
    found = client.get_registered_model(NAME).aliases.get(CHAMPION)
    return None if found is None else int(found)


def tag(client, version) -> str | None:
    return client.get_model_version(NAME, str(version)).tags.get(GATE_TAG)


def better():
    return changed(cases(), cases()["has_nerve"], +0.05)


def worse():
    return changed(cases(), cases()["has_nerve"], -0.05)


def test_the_first_champion_has_none_to_pass_and_says_so(client, params):
    version = register(client, cases())
    outcome = promote(params)
    assert outcome.promoted
    assert outcome.told == "there is no champion to compare with\nnerveseg version 1 is the champion now"
    assert champion(client) == version
    assert tag(client, version) == "passed: the first champion, with nothing to compare"


def drawing_nothing():
    return cases().assign(predicted_area=0, dice=lambda table: np.where(table["has_nerve"], 0.0, 1.0))


def test_a_version_that_draws_nothing_does_not_become_the_first_champion(client, params):
    version = register(client, drawing_nothing())
    outcome = promote(params)
    assert not outcome.promoted
    assert outcome.told.splitlines() == [
        "there is no champion to compare with, but this version outlines no nerve on any test frame, though some show one",
        "nerveseg version 1 is not promoted; there is still no champion",
    ]
    assert champion(client) is None
    assert tag(client, version).startswith("failed: it outlines no nerve on any test frame")


def test_only_an_empty_mask_where_a_nerve_is_counts_as_drawing_nothing():
    nothing = drawing_nothing()
    assert draws_nothing(nothing)
    assert not draws_nothing(nothing.assign(has_nerve=False)), "then it is right"
    assert not draws_nothing(nothing.assign(predicted_area=[5, *nothing["predicted_area"][1:]]))
    assert not draws_nothing(cases()), "an older version kept no areas"


def test_a_challenger_as_good_as_the_champion_takes_its_place_and_keeps_the_verdict(client, params):
    first = register(client, cases())
    promote(params)
    second = register(client, better())
    outcome = promote(params)
    assert outcome.promoted
    assert "passed against version 1: dice_nerve changed by +0.0500" in outcome.told
    assert outcome.told.splitlines()[-1] == "nerveseg version 2 is the champion now"
    assert champion(client) == second
    assert tag(client, second).startswith("passed against version 1: dice_nerve changed by +0.0500")
    assert tag(client, first).startswith("passed: the first champion")


def test_a_challenger_that_fails_the_gate_is_refused_and_tagged(client, params):
    first = register(client, cases())
    promote(params)
    second = register(client, worse())
    outcome = promote(params)
    assert not outcome.promoted
    assert "failed against version 1: dice_nerve fell by 0.0500" in outcome.told
    assert outcome.told.splitlines()[-1] == "nerveseg version 2 is not promoted; version 1 stays the champion"
    assert champion(client) == first
    assert tag(client, second).startswith("failed against version 1: dice_nerve fell by 0.0500")


def test_the_margins_are_those_of_the_params(client, params):
    register(client, cases())
    promote(params)
    register(client, worse())
    gate = params.gate.model_copy(update={"margin": 0.05, "stratum_margin": 0.05})
    assert promote(params.model_copy(update={"gate": gate})).promoted


def test_a_version_can_be_named_and_the_champion_is_not_held_against_itself(client, params):
    first, second = register(client, cases()), register(client, worse())
    assert promote(params, first).promoted
    assert champion(client) == first
    assert promote(params, first).told == "nerveseg version 1 is the champion already"
    assert not promote(params, second).promoted


def test_other_test_frames_are_told_and_tagged_and_nothing_is_promoted(client, params):
    first = register(client, cases())
    promote(params)
    second = register(client, cases(frames=4))
    with pytest.raises(ComparisonError, match="the test data differ, so the models cannot be compared") as raised:
        promote(params)
    assert "nerveseg version 2 is not comparable with version 1" in str(raised.value)
    assert "give this version the alias champion by hand" in str(raised.value)
    assert champion(client) == first
    assert tag(client, second).startswith("not comparable with version 1: the test data differ")


def test_a_champion_of_a_version_that_kept_no_cases_is_told_with_the_way_out(client, params):
    first = register(client, None)
    client.set_registered_model_alias(NAME, CHAMPION, str(first))
    register(client, cases())
    with pytest.raises(ComparisonError, match=r"not comparable with version 1: models:/nerveseg/1: .*by hand"):
        promote(params)
    assert champion(client) == first


@pytest.mark.parametrize(
    ("version", "told"),
    [(None, "no alias 'challenger'"), (9, "no version 9"), (1, r"models:/nerveseg/1: .* no cases\.csv")],
)
def test_a_version_that_cannot_be_promoted_is_told(client, params, version, told):
    register(client, None)
    client.delete_registered_model_alias(NAME, "challenger")
    with pytest.raises(ModelError, match=told):
        promote(params, version)
    assert champion(client) is None


def test_a_champion_that_another_process_names_meanwhile_is_the_one_to_pass(client, params, monkeypatch):
    register(client, cases())
    promote(params)
    register(client, better())
    last = register(client, cases())
    once = iter([True])

    def judged(*arguments):
        if next(once, False):  # while this process compares with version 1, another one promotes version 2
            client.set_registered_model_alias(NAME, CHAMPION, "2")
        return judge(*arguments)

    judge = promotion.judge
    monkeypatch.setattr(promotion, "judge", judged)
    outcome = promote(params)
    assert not outcome.promoted
    assert champion(client) == 2
    assert tag(client, last).startswith("failed against version 2: ")


def test_the_command_prints_the_table_and_ends_with_1_where_it_refuses(client, capsys):
    register(client, cases())
    assert nerveseg("promote") == 0
    register(client, worse())
    assert nerveseg("promote") == 1
    out = capsys.readouterr().out
    assert re.search(r"all dice_nerve +27 +9 0\.8000 0\.7500 -0\.0500 .* failed, margin 0\.01", out)
    assert nerveseg("promote", "--version", "1") == 0
    message = nerveseg("promote", "--version", "7")
    assert message.startswith("error: models:/nerveseg/7: nerveseg has no version 7;")


def test_the_gate_takes_the_champion_as_its_base(client, folder, capsys):
    register(client, cases())
    assert nerveseg("promote") == 0
    (folder / "metrics").mkdir()
    for table, code in ((better(), 0), (worse(), 1)):
        table.to_csv(folder / "metrics" / "cases.csv", index=False)
        assert nerveseg("gate", "--base", "models:/nerveseg@champion") == code
    out = capsys.readouterr().out
    assert "passed against models:/nerveseg@champion: dice_nerve changed by +0.0500" in out
    assert "failed against models:/nerveseg@champion: dice_nerve fell by 0.0500" in out
    assert "has no alias 'champoin'" in nerveseg("gate", "--base", "models:/nerveseg@champoin")


def test_nothing_registered_is_told_and_no_store_is_made(folder):
    assert "mlflow.db was not found" in nerveseg("promote")
    assert [path.name for path in folder.iterdir()] == ["params.yaml"]


def test_a_name_that_is_not_registered_is_told_with_those_that_are(client, params):
    tracking = params.tracking.model_copy(update={"model_name": "other"})
    with pytest.raises(ModelError, match=r"no model 'other' is registered in .*, which has nerveseg;"):
        promote(params.model_copy(update={"tracking": tracking}))


def test_a_server_that_does_not_answer_is_told_in_one_sentence(folder, params, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free.getsockname()[1]}")
    with pytest.raises(TrackingError, match=r"refused.*start the server"):
        promote(params)


def asking(params, **changes):
    return params.model_copy(update={"tracking": params.tracking.model_copy(update={"promote": True, **changes})})


def test_evaluate_promotes_where_it_is_asked_to(client, params, capsys):
    version = register(client, cases())
    promote_where_asked(params, key(client, version))
    promote_where_asked(asking(params, enabled=False), "")
    assert champion(client) is None
    assert capsys.readouterr().out == ""
    promote_where_asked(asking(params), key(client, version))
    assert champion(client) == version
    assert capsys.readouterr().out.endswith("nerveseg version 1 is the champion now\n")


def test_what_a_stage_has_just_registered_is_what_it_promotes(folder, params, capsys):
    asked = asking(params)
    for table in (cases(), worse(), better()):

        def save(path, table=table):
            path.mkdir()
            (path / "MLmodel").write_text("artifact_path: model\n")
            table.to_csv(path / CASES, index=False)

        with stage_run("evaluate", asked) as tracked:
            promote_where_asked(asked, tracked.log_model(save, "gan", "a card"))
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("nerveseg version")]
    assert told == [
        "nerveseg version 1 is the champion now",
        "nerveseg version 2 is not promoted; version 1 stays the champion",
        "nerveseg version 3 is the champion now",
    ]


def test_evaluate_promotes_its_own_model_where_another_experiment_registered_one_meanwhile(client, params, capsys):
    own = register(client, cases())
    register(client, worse())
    promote_where_asked(asking(params), key(client, own))
    assert champion(client) == own


def test_a_model_that_waits_on_disk_is_told_with_what_to_do(client, params, capsys):
    register(client, cases())
    promote_where_asked(asking(params), "not there yet")
    assert champion(client) is None
    assert re.match(r"not promoted: .*`nerveseg sync`.*`nerveseg promote`", capsys.readouterr().out)


def test_for_evaluate_a_refusal_is_told_and_tagged_and_no_error(client, params, capsys):
    register(client, cases())
    promote(params)
    second = register(client, worse())
    promote_where_asked(asking(params), key(client, second))
    assert "version 2 is not promoted; version 1 stays the champion" in capsys.readouterr().out
    assert tag(client, second).startswith("failed against version 1")
    third = register(client, cases(frames=4))
    promote_where_asked(asking(params), key(client, third))
    assert capsys.readouterr().out.startswith(
        "not promoted: nerveseg version 3 is not comparable with version 1: the test data differ"
    )


def test_for_evaluate_a_store_that_fails_is_told_and_no_error(folder, params, capsys):
    promote_where_asked(asking(params), "any")
    assert re.match(r"not promoted: .*mlflow\.db was not found", capsys.readouterr().out)
