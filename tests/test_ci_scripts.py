"""What .github/workflows/ci.yml runs, in a clone with a second commit. Its pipeline copies scores instead of training."""

import json
import os
import re
import shutil

import pandas as pd
import pytest
import yaml

from paths import ROOT
from processes import attempt, run
from repositories import commit, make_repository

pytestmark = pytest.mark.slow

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
PIPELINE = """
stages:
  preprocess:
    cmd: mkdir -p data/processed && cp -r data/phantom data/processed
    deps: [data/phantom]
    params: [data.dir]
    outs: [data/processed]
  evaluate:
    cmd: mkdir -p metrics && cp scores/* metrics/ && echo run >> ../runs
    deps: [scores, data/processed]
    metrics: [metrics/metrics.json: {cache: false}]
    plots: [metrics/cases.csv: {cache: false}]
  visualize:
    cmd: mkdir -p reports && cp picture.png reports/comparison.png
    deps: [picture.png, metrics/cases.csv]
    params: [data.dir]
    outs: [reports]
"""
PICTURE = re.compile(r"!\[.*\]\(https://github\.com/team/nerves/raw/ci-pictures/(pr-7-[0-9a-f]{12}\.png)\)")


@pytest.fixture(scope="module", autouse=True)
def environment(quick_commands):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_REPOSITORY", "team/nerves")
        yield


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    """A bare repository whose branch main has this project's scripts, params and scores, and that pipeline; and a clone of
    it, on a branch of its own, where the pipeline has run.
    """
    work, folder = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("repositories")
    (work / "data" / "phantom").mkdir(parents=True)
    (work / "data" / "phantom" / "1_1.tif").write_bytes(b"simulated")
    shutil.copytree(ROOT / ".ci", work / ".ci")
    for name in ("params.yaml", ".gitattributes"):
        shutil.copy(ROOT / name, work)
    for part in ("scores", "metrics"):
        (work / part).mkdir()
        for name in ("cases.csv", "metrics.json"):
            shutil.copy(ROOT / "metrics" / name, work / part)
    (work / "dvc.yaml").write_text(PIPELINE)
    (work / "picture.png").write_bytes(b"a picture of simulated frames")
    (work / ".gitignore").write_text("/data/processed\n/reports\n")
    make_repository(work, dvc=True)
    run("dvc", "repro", "-q", cwd=work)
    commit(work, "reproduced")
    run("git", "clone", "-q", "--bare", str(work), "origin.git", cwd=folder)
    run("git", "clone", "-q", "origin.git", "clone", cwd=folder)
    run("git", "checkout", "-qb", "change", cwd=folder / "clone")
    run("dvc", "repro", "-q", cwd=folder / "clone")
    return folder


@pytest.fixture
def clone(repositories, tmp_path):
    """A copy of that clone, beside a copy of what it was cloned from."""
    shutil.copytree(repositories, tmp_path, symlinks=True, dirs_exist_ok=True)
    run("git", "remote", "set-url", "origin", tmp_path / "origin.git", cwd=tmp_path / "clone")
    return tmp_path / "clone"


@pytest.fixture
def origin(clone):
    return clone.parent / "origin.git"


def commit_scores(clone, change, **params):
    """A second commit, with the mean Dice of what ships on frames with a nerve changed by `change`, run by the pipeline."""
    cases = pd.read_csv(clone / "scores" / "cases.csv", dtype={"subject": str})
    shipped = cases["model"] == "exported"
    nerve = shipped & cases["has_nerve"]
    movable = nerve & cases["dice"].between(0.1, 0.9)  # the others could leave 0 to 1
    cases.loc[movable, "dice"] += change * nerve.sum() / movable.sum()
    cases.to_csv(clone / "scores" / "cases.csv", index=False)
    scores = json.loads((clone / "scores" / "metrics.json").read_text())
    scores["gan"]["dice_nerve"] += change
    (clone / "scores" / "metrics.json").write_text(json.dumps(scores))
    text = (clone / "params.yaml").read_text()
    for key, value in params.items():
        text = re.sub(rf"^{key}:.*$", f"{key}: {value}", text, flags=re.MULTILINE)
    (clone / "params.yaml").write_text(text)
    run("dvc", "repro", "-q", cwd=clone)
    commit(clone)


def test_an_improvement_passes_and_its_comment_has_the_tables_and_the_picture(clone, origin):
    commit_scores(clone, +0.02, lr="1.0e-3")
    compared = attempt(".ci/compare", "origin/main", cwd=clone)
    assert compared.returncode == 0, compared.stderr
    comment = compared.stdout + run(".ci/picture", "pr-7", cwd=clone)
    gate, scores, parameters = re.split("### (?:Scores|Parameters)", comment)
    main = run("git", "rev-parse", "--short", "origin/main", cwd=clone)
    assert gate.startswith(
        f"### Gate against {main} (reproduced)\n\n✅ passed against {main}: dice\\_nerve changed by +0.0200"
    )
    here = json.loads((ROOT / "metrics" / "metrics.json").read_text())["exported"]["dice_nerve"]
    row = f"| all | dice\\_nerve | 94 | 32 | {here:.4f} | {here + 0.02:.4f} | +0.0200 |"
    assert any(line.startswith(row) for line in gate.splitlines())
    assert "</details>\n" in gate
    assert re.search(r"^    metrics/metrics\.json +gan\.dice_nerve .* 0\.02 *$", scores, re.MULTILINE)
    assert re.search(r"^    params\.yaml +lr +0\.003 +0\.001 *$", parameters, re.MULTILINE)
    name = PICTURE.search(parameters)[1]
    assert run("git", "show", f"ci-pictures:{name}", cwd=origin) == "a picture of simulated frames"


def test_a_regression_fails_with_1_and_still_prints_the_whole_comment(clone):
    commit_scores(clone, -0.02)
    compared = attempt(".ci/compare", "origin/main", cwd=clone)
    assert compared.returncode == 1
    assert "❌ failed against" in compared.stdout
    assert "dice\\_nerve fell by 0.0200" in compared.stdout
    assert re.search(r"gan\.dice_nerve .* -0\.02\b", compared.stdout)
    assert "### Parameters" in compared.stdout


def test_other_test_data_fail_and_the_comment_says_so(clone):
    path = clone / "scores" / "cases.csv"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith("3_1,")))
    commit_scores(clone, 0.0)
    compared = attempt(".ci/compare", "origin/main", cwd=clone)
    assert compared.returncode == 1
    assert (
        "error: the test data differ, so the models cannot be compared: of the test frames 1 only in the base (3_1)"
        in compared.stdout
    )
    assert "### Parameters" in compared.stdout


def test_a_base_that_is_not_there_fails(clone):
    compared = attempt(".ci/compare", "origin/nowhere", cwd=clone)
    assert compared.returncode != 0
    assert compared.stdout == ""


def test_the_base_is_run_on_this_machine_once_and_its_scores_of_here_are_what_is_compared(clone, origin, monkeypatch):
    """As if the committed scores came from another processor: those of main were better than what main gives here."""
    commit_scores(clone, -0.05)
    for command in ("checkout -q main", "checkout -q change -- metrics", "commit -qm elsewhere", "checkout -q change"):
        run("git", *command.split(), cwd=clone)
    run("git", "push", "-q", "origin", "main", cwd=clone)
    runs = clone.parent / "runs"
    before = runs.read_text()
    base = run(".ci/base", "main", cwd=clone)
    monkeypatch.setenv("BASE", base)
    (tidy,) = (step["run"] for _, step in steps() if "dvc gc" in step.get("run", ""))
    run("bash", "-c", tidy.replace(".venv/bin/", ""), cwd=clone)
    again = run(".ci/base", "main", cwd=clone)
    assert runs.read_text() == before  # served from the cache
    assert run("git", "log", "-1", "--format=%s", base, cwd=clone) == "main as this machine runs it"
    here = json.loads((ROOT / "metrics" / "metrics.json").read_text())["gan"]["dice_nerve"]
    for revision, nerve in (("main", here - 0.05), (base, here), (again, here)):
        scores = json.loads(run("git", "show", f"{revision}:metrics/metrics.json", cwd=clone))
        assert scores["gan"]["dice_nerve"] == pytest.approx(nerve, abs=1e-3)
    assert attempt(".ci/compare", "main", cwd=clone).returncode == 0
    assert attempt(".ci/compare", base, cwd=clone).returncode == 1
    assert run("git", "status", "--porcelain", cwd=clone) == ""


@pytest.mark.parametrize("hook", [False, True])
def test_under_git_s_own_variables_the_user_s_branch_and_what_is_staged_stay_as_they_are(clone, monkeypatch, hook):
    """As in a hook, also in one that runs when pushing from a linked worktree."""
    folder = clone
    if hook:
        folder = clone.parent / "linked"
        run("git", "worktree", "add", "-q", str(folder), cwd=clone)
        script = clone / ".git" / "hooks" / "pre-push"
        script.write_text(f"#!/bin/sh\n.ci/base HEAD > {clone.parent}/base\n")
        script.chmod(0o755)
    (folder / "params.yaml").write_text((folder / "params.yaml").read_text() + "# staged\n")
    run("git", "add", "params.yaml", cwd=folder)
    state = [("rev-parse", "HEAD"), ("symbolic-ref", "HEAD"), ("diff", "--cached"), ("status", "--porcelain")]
    before = [run("git", *words, cwd=folder) for words in state]
    if hook:
        run("git", "push", "-q", "origin", "HEAD:refs/heads/pushed", cwd=folder)
        base = (clone.parent / "base").read_text()
    else:
        with monkeypatch.context() as patch:
            patch.setenv("GIT_DIR", str(clone / ".git"))
            patch.setenv("GIT_INDEX_FILE", str(clone / ".git" / "index"))
            base = run(".ci/base", "HEAD", cwd=clone)
    assert [run("git", *words, cwd=folder) for words in state] == before
    assert run("git", "log", "-1", "--format=%s", base.strip(), cwd=clone) == "HEAD as this machine runs it"


def test_the_base_of_a_clone_under_autocrlf_is_the_same_as_any_other_s(clone, origin, tmp_path, monkeypatch):
    (tmp_path / "config").write_text("[core]\n\tautocrlf = true\n[commit]\n\tgpgSign = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    run("git", "clone", "-q", str(origin), "windows", cwd=tmp_path)
    base = run(".ci/base", "HEAD", cwd=tmp_path / "windows")
    assert run("git", "diff", "--stat", "HEAD", base, cwd=tmp_path / "windows") == ""


def test_a_base_whose_pipeline_fails_prints_no_commit(clone):
    (clone / "dvc.yaml").write_text(PIPELINE.replace("mkdir -p metrics &&", "false &&"))
    run("git", "commit", "-qam", "broken", cwd=clone)
    done = attempt(".ci/base", "change", cwd=clone)
    assert done.returncode != 0
    assert done.stdout == ""


def test_a_picture_replaces_that_of_the_same_pull_request_and_leaves_others(clone, origin):
    for number, name in enumerate(("pr-7", "pr-71", "pr-7")):
        (clone / "picture.png").write_bytes(b"picture %d" % number)
        run("dvc", "repro", "-q", "visualize", cwd=clone)
        run(".ci/picture", name, cwd=clone)
    names = run("git", "ls-tree", "--name-only", "ci-pictures", cwd=origin).splitlines()
    assert [name.rsplit("-", 1)[0] for name in names] == ["pr-7", "pr-71"]
    assert run("git", "show", f"ci-pictures:{names[0]}", cwd=origin) == "picture 2"
    assert run("git", "rev-list", "--count", "ci-pictures", cwd=origin) == "1"
    assert "ci-pictures" not in run("git", "branch", "--list", cwd=clone)
    assert run("git", "diff", "--cached", "--name-only", cwd=clone) == ""


def refusal(clone, origin) -> str:
    done = attempt(".ci/picture", "pr-7", cwd=clone)
    assert done.returncode == 1
    assert done.stdout == ""
    assert run("git", "branch", "--list", "ci-pictures", cwd=origin) == ""
    (line,) = done.stderr.splitlines()
    return line


def test_no_picture_of_other_data_is_ever_pushed(clone, origin):
    path = clone / "params.yaml"
    simulated = path.read_text()
    path.write_text(simulated.replace("dir: data/phantom ", "dir: data/raw/clinic "))
    assert "data.dir is data/raw/clinic, whose frames may show a patient" in refusal(clone, origin)
    run("dvc", "repro", "-q", cwd=clone)  # and with the parameter set back, the report is still that of the clinic
    path.write_text(simulated)
    assert "the report is not what params.yaml and data/phantom give" in refusal(clone, origin)


def test_no_picture_that_was_put_there_by_hand_is_pushed(clone, origin):
    (clone / "reports" / "comparison.png").unlink()
    assert "reports/comparison.png was not found" in refusal(clone, origin)
    (clone / "reports" / "comparison.png").write_bytes(b"a patient")
    assert "the report is not what params.yaml and data/phantom give" in refusal(clone, origin)


def test_an_origin_that_takes_no_picture_is_told(clone, origin):
    hook = origin / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert "the branch ci-pictures of origin cannot be written" in refusal(clone, origin)


def steps():
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    return [(name, step) for name, job in jobs.items() for step in job["steps"]]


def test_the_workflow_runs_scripts_that_are_there_with_what_they_need():
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert set(workflow) == {"name", True, "permissions", "concurrency", "jobs"}  # YAML reads `on` as true
    assert set(workflow[True]) == {"push", "pull_request"}
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["jobs"]["pipeline"]["permissions"] == {"contents": "write", "pull-requests": "write"}
    for _, step in steps():
        assert set(step) <= {"name", "id", "if", "uses", "with", "run", "env", "continue-on-error"}
        assert ("uses" in step) != ("run" in step)
    scripts = [script for _, step in steps() for script in re.findall(r"\.ci/\w+", step.get("run", ""))]
    assert sorted(scripts) == sorted(f".ci/{path.name}" for path in (ROOT / ".ci").iterdir())
    for script in scripts:
        assert os.access(ROOT / script, os.X_OK)
        run("bash", "-n", script, cwd=ROOT)
    assert "repro:" in (ROOT / "Makefile").read_text()
    assert [job for job, step in steps() if step.get("run") == "make repro"] == ["pipeline"]


def test_the_workflow_s_own_lines_are_shell_that_takes_no_branch_s_name_for_code():
    for _, step in steps():
        if "run" in step:
            inserted = re.findall(r"\$\{\{ *(.*?) *\}\}", step["run"])
            assert set(inserted) <= {"github.event.number", "steps.compare.outputs.verdict"}
            run("bash", "-n", "-c", re.sub(r"\$\{\{.*?\}\}", "1", step["run"]), cwd=ROOT)


def test_the_workflow_posts_the_comparison_before_the_gate_fails_it():
    last = [step for job, step in steps() if job == "pipeline"][-4:]
    assert [step["name"] for step in last] == [
        "Compare with the target branch",
        "Show a picture",
        "Comment",
        "The gate",
    ]
    compare, picture, comment, gate = (step["run"] for step in last)
    assert '.ci/compare "$BASE" > comparison.md || verdict=$?' in compare
    assert ">> comparison.md" in picture
    assert "--body-file comparison.md --edit-last --create-if-none" in comment
    assert gate == 'exit "${{ steps.compare.outputs.verdict }}"'


def test_the_workflow_keeps_dvc_s_cache_between_runs():
    cached = {step["uses"].split("@")[0]: step["with"] for _, step in steps() if "cache/" in step.get("uses", "")}
    restore, save = cached["actions/cache/restore"], cached["actions/cache/save"]
    assert restore["path"] == save["path"] == ".dvc/cache"
    assert restore["key"] == save["key"]
    assert restore["key"].startswith(restore["restore-keys"])
