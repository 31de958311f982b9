"""The gate on cases made on the spot, on the committed ones, and as `nerveseg gate`."""

import re
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from case_tables import FRAMES, SUBJECTS, cases, changed
from command_line import nerveseg
from foreign_names import COMMANDS, FOUND, LINKS, MARKS, tokens_of
from nerveseg.errors import ComparisonError
from nerveseg.evaluation.subgroups import strata_table
from nerveseg.files.atomic import write_csv
from nerveseg.registry.gate import GateParams, judge
from nerveseg.registry.gate_table import as_markdown, as_text
from nerveseg.registry.project_params import load_project_params
from paths import ROOT
from processes import run
from repositories import commit, make_repository, use_settings

MARGINS = GateParams(margin=0.01, stratum_margin=0.03)


def verdict(base, now, margins=MARGINS):
    return judge(base, now, margins, 500, 7)


def row(table, stratum, part):
    (found,) = table[(table["stratum"] == stratum) & (table["part"] == part)].to_dict("records")
    return found


def failing(found):
    return [(r["stratum"], r["part"]) for r in found.table[found.table["failed"]].to_dict("records")]


def test_equal_cases_pass_with_no_change_at_all():
    found = verdict(cases(), cases())
    assert found.passed
    assert found.reasons == ()
    assert (found.table["change"] == 0).all()
    assert found.table[["low", "high"]].isna().all(axis=None)


def test_scores_and_strata_are_those_of_the_other_tables():
    now = changed(cases(), cases()["subject"] == "3", 0.1)
    found = verdict(cases(), now).table
    assert row(found, "all", "dice_nerve")["now"] == pytest.approx(now.loc[now["has_nerve"], "dice"].mean())
    assert row(found, "all", "dice")["now"] == pytest.approx(now["dice"].mean())
    strata = strata_table(now.assign(hd95_common=np.nan, centroid_distance_common=np.nan), 10, 0)
    ours = found[found["stratum"] != "all"].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        ours[["stratum", "part", "frames", "subjects", "now"]],
        strata[["stratum", "part", "frames", "subjects", "dice"]].rename(columns={"dice": "now"}),
    )


@pytest.mark.parametrize(("fall", "passed"), [(0.0099, True), (0.01, True), (0.0101, False)])
def test_dice_nerve_may_fall_by_the_margin_and_not_by_more(fall, passed):
    now = changed(cases(), cases()["has_nerve"], -fall)
    found = verdict(cases(), now)
    assert found.passed == passed
    assert failing(found) == ([] if passed else [("all", "dice_nerve")])
    assert found.change == pytest.approx(-fall)


@pytest.mark.parametrize("dice", [0.1 * n for n in range(2, 10)])
@pytest.mark.parametrize("margin", [0.01, 0.03, 0.1])
def test_a_fall_by_exactly_the_margin_passes_whatever_floats_make_of_it(dice, margin):
    now = changed(cases(dice), cases()["has_nerve"], -margin)
    assert verdict(cases(dice), now, GateParams(margin=margin, stratum_margin=margin)).passed


@pytest.mark.parametrize(("fall", "passed"), [(0.03, True), (0.031, False)])
def test_no_size_of_nerve_may_fall_by_more_than_the_second_margin_though_the_mean_gains(fall, passed):
    small = cases()["has_nerve"] & cases()["subject"].isin(["0", "1", "2"])
    now = changed(changed(cases(), small, -fall), cases()["has_nerve"] & ~small, 0.1)
    found = verdict(cases(), now)
    assert found.change > 0
    assert found.passed == passed
    assert failing(found) == ([] if passed else [("size", "small")])


def test_false_alarms_fail_though_dice_nerve_is_as_it_was():
    found = verdict(cases(), changed(cases(), cases().index.isin([1, 9, 21, 33]), -1.0))
    assert found.change == 0
    assert failing(found) == [("presence", "no nerve")]
    assert found.reasons[0].startswith("dice of frames with no nerve fell by 0.1481 (95 % ")
    assert found.reasons[0].endswith("more than 0.03")


def test_one_frame_of_a_subject_fails_no_model_and_a_fall_of_all_its_frames_does():
    one = cases()["frame"] == "4_1"
    generous = GateParams(margin=0.5, stratum_margin=0.04)
    found = verdict(cases(), changed(cases(), one, -1.0), generous)
    assert row(found.table, "subject", "4")["change"] == pytest.approx(-1 / FRAMES)
    assert found.passed
    for fall, passed in ((0.04, True), (0.05, False)):
        found = verdict(cases(), changed(cases(), cases()["subject"] == "4", -fall), generous)
        assert found.passed == passed
        assert failing(found) == ([] if passed else [("subject", "4")])


def test_a_subject_with_a_single_frame_has_no_interval_and_fails_nothing():
    base = cases().drop(index=range(1, FRAMES)).reset_index(drop=True)
    found = verdict(base, changed(base, base["subject"] == "0", -0.2), GateParams(margin=0.5, stratum_margin=0.1))
    single = row(found.table, "subject", "0")
    assert np.isnan([single["low"], single["high"]]).all()
    assert found.passed


def test_the_interval_is_that_of_paired_differences_of_drawn_subjects():
    rng = np.random.default_rng(3)
    base = cases().assign(dice=lambda table: rng.uniform(0.5, 1.0, len(table)))
    now = base.assign(dice=lambda table: table["dice"] - 0.02 + 0.02 * rng.standard_normal(len(table)))
    found = row(judge(base, now, MARGINS, 20_000, 7).table, "all", "dice")
    of_subjects = (now["dice"] - base["dice"]).groupby(base["subject"]).mean().to_numpy()  # all have as many frames
    means = rng.choice(of_subjects, size=(20_000, SUBJECTS)).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    assert found["change"] == pytest.approx(of_subjects.mean())
    assert found["low"] == pytest.approx(low, abs=3e-4)
    assert found["high"] == pytest.approx(high, abs=3e-4)
    unpaired = base.groupby("subject")["dice"].mean().std() + now.groupby("subject")["dice"].mean().std()
    assert found["high"] - found["low"] < unpaired


@settings(max_examples=10, deadline=None)  # of 0.2 s each
@given(order=st.permutations(range(SUBJECTS * FRAMES)), seed=st.integers(0, 99))
def test_rows_are_paired_by_frame_in_whatever_order_they_stand(order, seed):
    rng = np.random.default_rng(seed)
    now = cases().assign(dice=rng.uniform(0.5, 1.0, len(order)))
    straight, shuffled = verdict(cases(), now), verdict(cases().iloc[list(order)], now)
    pd.testing.assert_frame_equal(straight.table, shuffled.table)
    assert straight.reasons == shuffled.reasons


@settings(max_examples=15, deadline=None)
@given(gain=st.floats(0, 0.2), seed=st.integers(0, 99))
def test_what_is_nowhere_worse_passes(gain, seed):
    base = cases().assign(dice=np.random.default_rng(seed).uniform(0.0, 0.8, SUBJECTS * FRAMES))
    assert verdict(base, base.assign(dice=base["dice"] + gain), GateParams(margin=0.0, stratum_margin=0.0)).passed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.drop(index=[2, 5]), r"2 only in the base \(0_2, 0_5\); score both"),
        (lambda t: t.assign(frame="x" + t["frame"]), r"54 only in the base \(0_0, 0_1, 0_2 and 51 more\) and 54 only now \(x0_0"),
        (lambda t: t.assign(subject="1"), r"subject in 48 of 54 frames \(0_0, 0_1, 0_2 and 45 more\)"),
        (lambda t: t.assign(has_nerve=t["has_nerve"] | (t.index == 1)), r"has_nerve in 1 of 54 frames \(0_1\)"),
        (lambda t: t.assign(truth_area=t["truth_area"] + (t.index == 4)), r"truth_area in 1 of 54 frames \(0_4\)"),
    ],
)  # fmt: skip
def test_other_test_data_are_told_and_not_compared(change, told):
    with pytest.raises(ComparisonError, match=f"the test data differ, so the models cannot be compared: .*{told}"):
        verdict(cases(), change(cases()))


@pytest.mark.parametrize(
    ("base", "now", "told"),
    [
        (
            cases().drop(columns=["truth_area", "has_nerve"]),
            cases(),
            "cases of the base lack has_nerve, truth_area; an older",
        ),
        (cases(), cases().drop(columns="frame_area"), "cases of the new model lack frame_area; an older"),
        (cases(), pd.concat([cases(), cases()[:1]]), r"name a frame twice \(0_0\)"),
        (cases()[1::2], cases()[1::2], "no test frame shows a nerve"),
    ],
)
def test_cases_that_cannot_be_judged_are_told(base, now, told):
    with pytest.raises(ComparisonError, match=told):
        verdict(base, now)


def test_cases_of_a_version_before_frame_area_can_still_be_the_base():
    assert verdict(cases().drop(columns="frame_area"), cases()).passed


def test_the_table_for_a_terminal_has_a_line_for_each_part_and_says_what_failed():
    found = verdict(cases(), changed(cases(), cases()["has_nerve"], -0.02))
    lines = as_text(found, "main").splitlines()
    assert len(lines) == 1 + len(found.table) + 1
    assert lines[1].split()[:7] == ["all", "dice_nerve", "27", "9", "0.8000", "0.7800", "-0.0200"]
    assert lines[1].endswith("failed, margin 0.01")
    assert lines[-1] == "failed against main: dice_nerve fell by 0.0200, more than 0.01"
    assert as_text(verdict(cases(), cases()), "main").splitlines()[-1].startswith("passed against main: ")


def test_a_change_of_almost_nothing_has_no_minus():
    told = as_text(verdict(cases(), changed(cases(), cases()["has_nerve"], -1e-6)), "main")
    assert "+0.0000" in told
    assert "-0.0000" not in told


def test_a_part_without_an_interval_says_why():
    one = cases()[cases()["subject"] == "4"].iloc[:1]
    lines = as_text(verdict(one, one), "main").splitlines()
    assert "none: one subject" in lines[1]
    assert "none: one frame" in next(line for line in lines if line.split()[0] == "subject")


def test_a_subject_that_fell_by_more_than_its_margin_is_named_where_the_gate_passes():
    fallen = cases()["frame"] == cases()["frame"][cases()["subject"] == "4"].iloc[0]
    found = verdict(cases(), changed(cases(), fallen, -0.2))
    assert found.passed
    assert row(found.table, "subject", "4")["change"] < -0.03
    last = as_text(found, "main").splitlines()[-1]
    assert "nothing fell" not in last
    fall = row(found.table, "subject", "4")["change"]
    assert last.endswith(f"; subject 4 ({fall:+.4f}) fell beyond the margin, but over too few frames to be certain")


def test_markdown_folds_the_subjects_that_did_not_fall_and_keeps_names_from_being_markup():
    named = cases().assign(subject=lambda t: t["subject"].replace({"4": "a|<b>_c_"}))
    found = verdict(named, changed(named, named["subject"].str.startswith("a|"), -0.05))
    shown, folded = as_markdown(found, "my_branch").split("<details>")
    assert shown.startswith("❌ failed against my\\_branch: dice of subject a\\|&#60;b&#62;\\_c\\_ fell by 0.0500")
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert [r.split(" | ")[0] for r in rows] == [
        "| stratum",
        "| ---",
        *["| all"] * 2,
        *["| presence"] * 2,
        *["| size"] * 3,
        "| subject",
    ]
    assert "8 subjects that did not fall by more than the margin" in folded
    assert folded.count("| subject |") == 8
    assert as_markdown(verdict(named, named), "main").startswith("✅ passed against main: ")


@pytest.mark.parametrize("fall", [0.0, 0.2])
def test_a_comment_about_hundreds_of_subjects_stays_below_what_github_takes_and_counts_those_left_out(fall):
    subjects = [f"{number:04}-a_b" for number in range(800)]
    rows = pd.DataFrame(
        {"frame": subjects, "subject": subjects, "has_nerve": True, "truth_area": 9, "frame_area": 99, "dice": 0.9}
    )
    shown = as_markdown(verdict(rows, rows.assign(dice=0.9 - fall)), "main")
    assert len(shown) < 40_000
    assert shown.count("| subject |") + int(re.search(r"and (\d+) more subjects", shown)[1]) == 800


def test_the_committed_default_passes_against_itself_and_its_u_net():
    params = load_project_params(ROOT / "params.yaml")
    committed = pd.read_csv(ROOT / "metrics" / "cases.csv", dtype={"subject": str})
    models = [committed[committed["model"] == name] for name in ("unet", "exported")]
    found = judge(*models, params.gate, params.evaluate.bootstrap, params.seed)
    assert found.passed
    assert row(found.table, "all", "dice_nerve")["frames"] == models[0]["has_nerve"].sum()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Whose only commit, tagged v1, has cases of two models in metrics/, of which one ships."""
    use_settings(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", ".gitattributes"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    write(tmp_path, cases())
    make_repository(tmp_path)
    run("git", "tag", "v1")
    return tmp_path


def write(folder, shipped):
    (folder / "metrics").mkdir(exist_ok=True)
    table = pd.concat([cases(0.1).assign(model="unet"), shipped])
    write_csv(folder / "metrics" / "cases.csv", table)


@pytest.mark.parametrize("base", ["HEAD", "main", "v1"])
def test_the_command_passes_what_is_as_good_as_a_commit_a_branch_or_a_tag(repository, capsys, base):
    assert nerveseg("gate", "--base", base) == 0
    assert f"passed against {base}" in capsys.readouterr().out


def test_the_command_fails_a_fall_of_the_model_that_ships_with_1_and_prints_markdown_where_asked(repository, capsys):
    write(repository, cases(0.7))
    assert nerveseg("gate", "--base", "main", "--md") == 1
    out = capsys.readouterr().out
    assert out.startswith("❌ failed against main: dice\\_nerve fell by 0.1000")
    assert "| all | dice\\_nerve | 27 | 9 | 0.8000 | 0.7000 | -0.1000 |" in out


def refusal(base) -> str:
    message = nerveseg("gate", "--base", base)
    assert message.startswith("error: ")  # sys.exit with a text: exit code 1
    assert "\n" not in message
    return message


def test_the_command_tells_what_is_no_revision_in_one_sentence(repository):
    assert "mian is not a commit, branch or tag of this repository, nor a model" in refusal("mian")
    assert "--all is not a commit" in str(nerveseg("gate", "--base=--all"))

    assert "is not a commit" in refusal("main\0")


def test_a_clone_that_is_shallow_is_told_how_it_gets_the_other_commits(repository, monkeypatch):
    write(repository, cases().iloc[1:])
    commit(repository)
    assert "`git fetch` gets those of others" in refusal("HEAD~5")
    run("git", "clone", "--quiet", "--depth=1", f"file://{repository}", "shallow")
    monkeypatch.chdir(repository / "shallow")
    assert "`git fetch --unshallow` gets the commits that this shallow clone lacks" in refusal("HEAD~1")


def test_the_command_tells_where_a_commit_or_this_folder_has_no_cases(repository):
    (repository / "metrics" / "cases.csv").unlink()
    commit(repository)
    assert "metrics/cases.csv was not found; run `dvc repro` first" in refusal("v1")
    write(repository, cases())
    assert "main has no metrics/cases.csv; run `dvc repro` there and commit it" in refusal("main")


def test_the_command_tells_a_base_that_is_empty(repository):
    assert "the base to compare with is empty" in refusal("")


def test_the_command_tells_a_file_that_is_no_table(repository):
    path = repository / "metrics" / "cases.csv"
    path.write_text("")
    assert "metrics/cases.csv is not a table of cases (" in refusal("main")
    path.write_text("model,frame,subject\nunet,1_1,1\n")
    assert "metrics/cases.csv has no row of `exported`" in refusal("main")
    path.write_text("model;frame;subject\nexported;1_1;1\n")
    assert "metrics/cases.csv has no column `model`, or no commas between its columns" in refusal("main")
    path.write_bytes(b"frame,subject\n\xff\xfe,1\n")
    assert "metrics/cases.csv is not a table of cases (its text is not UTF-8)" in refusal("main")


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        *[("dice", value, "expected numbers from 0 to 1") for value in ("inf", "", "abc", 5.0, 1.000001, -0.1, "1e400", "True")],
        *[("truth_area", value, "expected numbers from 0 up") for value in ("inf", "", "many", -1)],
        ("frame_area", "-5", "expected numbers from 0 up"),
        *[("has_nerve", value, "has values other than True and False") for value in ("", "yes", 1)],
    ],
)  # fmt: skip
def test_the_command_judges_no_values_that_there_cannot_be(repository, column, value, told):
    table = cases().astype({column: object})
    table.loc[table.index[0], column] = value
    write(repository, table)
    message = refusal("main")
    assert message.startswith("error: metrics/cases.csv has ")
    assert f"column {column}" in message
    assert told in message


def test_the_command_tells_other_test_data_otherwise_than_a_failure(repository, capsys):
    write(repository, cases(frames=FRAMES - 1))
    message = refusal("main")
    assert "the test data differ, so the models cannot be compared" in message
    assert "failed" not in message + capsys.readouterr().out


def test_names_that_look_like_missing_values_or_numbers_stay_names(repository, capsys):
    odd = cases().assign(subject=lambda t: t["subject"].replace({"0": "NA", "1": "007"}))
    write(repository, odd)
    commit(repository)
    assert nerveseg("gate", "--base", "main") == 0
    parts = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.strip().startswith("subject")]
    assert {"NA", "007"} <= set(parts)


@pytest.mark.parametrize("name", ["a\rb", "a\r\nb", "\r", "a\nb\n", " a ", '"a', "'=1", "\u2028", "NaN", "-0"])
def test_a_subject_is_the_same_one_in_git_whatever_its_name(repository, capsys, name):
    write(repository, cases().assign(subject=lambda t: t["subject"].replace({"0": name})))
    commit(repository)
    assert nerveseg("gate", "--base", "main") == 0
    assert "nothing fell" in capsys.readouterr().out


def test_a_long_name_leaves_room_for_the_numbers_on_a_terminal_and_is_whole_in_markdown():
    names = {"0": "a" * 300 + "z", "1": "\x1b" * 300}
    found = verdict(*[cases().assign(subject=lambda t: t["subject"].replace(names))] * 2)
    assert max(map(len, as_text(found, "main").splitlines()[:-1])) < 150
    assert "aaa...aaa" in as_text(found, "main")
    assert names["0"] in as_markdown(found, "main")


def test_the_gate_of_a_commit_imports_neither_tensorflow_nor_mlflow(repository):
    script = "from nerveseg.cli import main\ntry: main(['gate', '--base', 'main'])\nexcept SystemExit as e: assert not e.code\n"
    script += "import sys; assert not {'tensorflow', 'mlflow'} & set(sys.modules)"
    run(sys.executable, "-c", script)


@pytest.mark.parametrize("name", [*(name for name in COMMANDS if "\udcff" not in name), *MARKS, *LINKS])
def test_no_name_leaves_its_cell_in_the_comment_nor_its_line_on_the_terminal(name):
    rows = pd.DataFrame(
        {"frame": ["1", "2"], "subject": [name, "b"], "has_nerve": True, "truth_area": 9, "frame_area": 99}
    )
    found = verdict(rows.assign(dice=0.9), rows.assign(dice=[0.5, 0.9]))
    comment = tokens_of(as_markdown(found, name))
    assert {token.type for token in comment if token.level == 0} <= {
        "paragraph_open", "inline", "paragraph_close", "table_open", "table_close", "html_block", "text",
        "text_special",
    }  # fmt: skip
    assert [token.content.strip().replace("\n", "") for token in comment if token.type == "html_block"] in (
        [], ["<details><summary>1 subject that did not fall by more than the margin</summary>", "</details>"],
    )  # fmt: skip
    words = " ".join("".join(part.content for part in token.children) for token in comment if token.type == "inline")
    assert not FOUND.search(words)
    assert all(line.isprintable() for line in as_text(found, name).split("\n"))
    assert len(as_text(found, name).split("\n")) == len(found.table) + 2
