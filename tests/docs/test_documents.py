"""The documents: what is generated from the code is complete, what they show is what commands print, the site stands alone."""

import json
import os
import re
import subprocess
import sys

import pytest
import yaml

from drawn_frames import kaggle_frames
from nerveseg.file_prediction.prediction_files import COLUMNS
from nerveseg.files.atomic import read_csv
from nerveseg.preprocessing.packing import prepare_dataset
from nerveseg.registry.project_params import ProjectParams
from nerveseg.reporting.figures.captions import FIGURES, SUMMARY
from paths import ROOT
from tiny_params import write_params

sys.path.append(str(ROOT / "docs" / "generators"))
from commands_page import commands, commands_page
from outputs_page import columns_of, described, meaning
from params_page import allowed, comments_of, params_page
from shown_output import MADE, documents, shown_in, with_figures
from site_hook import with_links_of_the_site

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def shown() -> dict[str, set[str]]:
    """What the documents show, by command."""
    found: dict[str, set[str]] = {}
    for path in documents():
        for command, output in shown_in(path.read_text()):
            found.setdefault(command, set()).add(output.strip())
    return found


def test_every_parameter_has_a_row_with_its_default_what_is_allowed_and_its_meaning():
    rows = {
        line.split(" | ")[0].strip("| `"): line.split(" | ") for line in params_page().splitlines() if "| `" in line
    }
    sections = {
        name: getattr(field.annotation, "model_fields", None) for name, field in ProjectParams.model_fields.items()
    }
    assert set(rows) == {
        f"{section}.{key}" if fields else section for section, fields in sections.items() for key in fields or [""]
    }
    assert rows["unet.stem"][2:] == ["`2`", "`1`, `2`, `4` |"]
    assert rows["gan.critic"][2:] == ["`patch`", "`patch`, `features`, `none` |"]
    assert "hardware has units for it" in rows["unet.precision"][1]
    assert not [name for name, row in rows.items() if not row[1].strip()], "a comment is missing in params.yaml"


def test_a_comment_belongs_to_the_key_before_it_and_goes_on_below_it():
    text = (
        "# The file.\n\na:         # a section\n  one: x#y  # first\n            # and more\n  two: 2\n\nb: 1 # last\n"
    )
    assert comments_of(text) == {"a": "a section", "a.one": "first and more", "a.two": "", "b": "last"}


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"type": "integer", "minimum": 1}, "whole number, at least 1"),
        ({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0}, "number, at least 0, below 1"),
        ({"type": "number", "minimum": 0.5, "maximum": 1000}, "number, 0.5 to 1,000"),
        ({"anyOf": [{"enum": ["auto"]}, {"type": "null"}]}, "`auto` or empty"),
        ({"type": "array", "items": {"$ref": "#/$defs/Side"}}, "list of: whole number"),
    ],
)
def test_what_a_parameter_allows_is_told_in_words(field, words):
    assert allowed(field, {"$defs": {"Side": {"type": "integer"}}}) == words


def test_every_command_and_every_argument_has_its_help_in_the_reference():
    page = commands_page()
    for name, command in commands().items():
        assert f"## {name}\n" in page
        told = page.split(f"## {name}\n")[1].split("\n## ")[0]
        options = re.findall(r"--[\w-]+", command.format_help())
        assert all(option in told for option in options if option != "--help"), name
        assert not re.search(r"\|\s+\|$", told, re.MULTILINE), f"an argument of {name} has no help"


def test_the_reference_names_each_output_of_each_stage_and_nothing_else():
    written = {
        (next(iter(out)) if isinstance(out, dict) else out, name)
        for name, stage in STAGES.items()
        for kind in ("outs", "plots", "metrics")
        for out in stage.get(kind, [])
    }
    assert {(path.rstrip("/"), file["stage"]) for path, file in described()["files"].items()} == written


def test_the_reference_names_every_file_in_the_folders_of_the_default_run():
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    written = {out["path"]: out["nfiles"] for stage in lock.values() for out in stage["outs"] if "nfiles" in out}
    for path in ("models/unet", "models/gan", "models/exported", "reports"):
        named = [name for names in described()["files"][f"{path}/"]["inside"] for name in names.split(", ")]
        assert written[path] <= len(named), path  # some files are not written where no refiner helps


def test_each_column_and_each_score_that_metrics_hold_has_a_meaning():
    for path in (ROOT / "metrics").glob("*.csv"):
        names = columns_of(f"metrics/{path.name}")
        assert all(meaning(f"metrics/{path.name}", name) for name in names)
        own = described()["columns"].get(f"metrics/{path.name}", {})
        assert set(own) <= set(names), "a column is described that is not there"
    metrics = json.loads((ROOT / "metrics" / "metrics.json").read_text())
    assert set(metrics) <= set(described()["metrics"])
    groups = [metrics["exported"], metrics["counts"], metrics["export"]]
    assert all(meaning("metrics/metrics.json", score) for group in groups for score in group)
    with pytest.raises(KeyError, match="what nonsense means"):
        meaning("metrics/cases.csv", "nonsense")


def test_the_files_and_columns_of_prepared_data_are_those_of_the_reference(tmp_path):
    params = write_params(tmp_path / "params.yaml")
    data = params.data.model_copy(update={"dir": str(kaggle_frames(tmp_path / "frames"))})
    (output := tmp_path / "data" / "processed").mkdir(parents=True)
    prepare_dataset(output, data, params.split, params.preprocess, params.seed, tmp_path, workers=1)
    named = [name for names in described()["files"]["data/processed/"]["inside"] for name in names.split(", ")]
    assert {re.sub(r"-\d\d", "-NN", path.name) for path in output.iterdir()} == set(named)
    for path in output.glob("*.csv"):
        assert path.read_text().splitlines()[0].split(",") == columns_of(f"data/processed/{path.name}")
    assert columns_of("predictions.csv") == COLUMNS


def test_the_figures_of_the_report_are_those_of_the_reference():
    assert set(described()["files"]["reports/"]["inside"]) == {"index.html", SUMMARY, *FIGURES}


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(MADE))
def test_the_output_that_documents_show_is_what_the_command_prints(command):
    expected = MADE[command]().strip()
    told = f"run `PYTHONPATH=src python docs/generators/shown_output.py`, which updates the output of `{command}`"
    assert shown().get(command, set()) == {expected}, told


def test_the_default_s_model_finds_a_nerve_in_both_frames_as_the_documents_show():
    cases = read_csv(ROOT / "metrics" / "cases.csv").query("model == 'exported' and frame in ['3_1', '3_2']")
    assert [area > 0 for area in cases["predicted_area"]] == [True, True]


def test_every_command_whose_output_documents_show_can_be_run_again():
    assert set(shown()) == set(MADE)


@pytest.mark.parametrize(
    ("page", "link", "on_the_site"),
    [
        ("index.md", "docs/training.md#encoders", "training.md#encoders"),
        ("index.md", "docs/comparison.png", "comparison.png"),
        ("contributing.md", "README.md", "index.md"),
        ("training.md", "../bench/README.md#the-refiner", "measurements.md#the-refiner"),
        ("training.md", "reference/params.md#unet", "reference/params.md#unet"),
        ("measurements.md", "../docs/report.png", "report.png"),
        ("training.md", "https://dvc.org/doc", "https://dvc.org/doc"),
        ("training.md", "#stopped", "#stopped"),
    ],
)
def test_a_link_that_works_in_the_repository_works_on_the_site(page, link, on_the_site):
    assert with_links_of_the_site(f"See [it]({link}).", page) == f"See [it]({on_the_site})."


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_asks_no_other_server(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        loaded = re.findall(
            r"<(?:script|img|iframe|link rel=.?(?:stylesheet|preconnect|icon))[^>]*\s(?:src|href)=\"?([^\">\s]+)",
            page.read_text(),
        )
        assert not [address for address in loaded if "//" in address], page.name
    assert "unet.epochs" in (tmp_path / "reference" / "params.html").read_text()


def test_the_readme_can_be_read_in_a_sitting():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_readme_draws_every_stage_in_its_order():
    (drawing,) = re.findall(r"^```\n(  phantom .*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert re.findall(r"^  (\w+) ", drawing, re.MULTILINE) == list(STAGES)


def test_the_files_that_contributing_names_are_there():
    named = re.findall(r"`((?:src|stages|tests|docs|bench|\.ci)/[\w./-]+)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def rows_of(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading of the architecture page."""
    page = (ROOT / "docs" / "architecture.md").read_text().split(f"# {heading}\n")[1].split("\n#")[0]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in page.splitlines() if "|" in line]
    return rows[2:]


LAYERS = ("Foundations", "Stage libraries", "Observers")


def test_the_architecture_page_names_every_package_with_the_stages_that_a_change_runs_again():
    said = {}
    for row in [row for layer in LAYERS for row in rows_of(layer)]:
        name, _, stages = row
        spared = stages.removeprefix("all but ").split(", ") if stages.startswith("all but ") else []
        named = [stage for stage in STAGES if stage not in spared]
        said[name] = named if stages.startswith("all") else [] if stages == "nothing" else stages.split(", ")
    package = ROOT / "src" / "nerveseg"
    there = [path.name for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    assert said == {
        name: [stage for stage, of in STAGES.items() if f"src/nerveseg/{name}" in of["deps"]] for name in there
    }


def test_imports_run_up_the_tables_of_the_architecture_page():
    above: set[str] = set()
    for layer in LAYERS:
        names = [name for name, *_ in rows_of(layer)]
        above |= {name.removesuffix(".py") for name in names}
        for name in names:
            path = ROOT / "src" / "nerveseg" / name
            for module in path.rglob("*.py") if path.is_dir() else [path]:
                imported = set(re.findall(r"^\s*from nerveseg\.(\w+)", module.read_text(), re.MULTILINE))
                assert imported <= above, module


def test_the_architecture_page_says_what_each_stage_reads_and_writes():
    said = {
        stage: (set(re.findall(r"[\w./]+", reads)), set(re.findall(r"[\w./]+", writes)))
        for stage, reads, writes in rows_of("The stages")
    }
    assert said == {
        name: (
            {dep.strip("${}") for dep in stage["deps"] if not dep.startswith(("src/", "stages/"))},
            {path.rstrip("/") for path, file in described()["files"].items() if file["stage"] == name},
        )
        for name, stage in STAGES.items()
    }


def test_the_files_that_the_architecture_page_names_are_there():
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = re.findall(r"`([a-z_]+/[\w./]+\.\w+|stages/\w+\.py)`", page)
    assert len(named) > 10
    places = [ROOT, ROOT / "src" / "nerveseg"]
    assert [path for path in named if not any((place / path).exists() for place in places)] == []


def test_a_figure_of_the_default_run_is_renewed_from_where_it_stands():
    metrics = json.loads((ROOT / "metrics" / "metrics.json").read_text())
    text = "By 9<!-- metrics.json exported dice .2f -->, in 9<!-- scores.csv unet dice cases .0f --> of 9."
    assert with_figures(text) == (
        f"By {metrics['exported']['dice']:.2f}<!-- metrics.json exported dice .2f -->, "
        f"in {metrics['counts']['frames']}<!-- scores.csv unet dice cases .0f --> of 9."
    )


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_the_figures_of_the_default_run_in_documents_are_those_in_metrics(path):
    assert with_figures(path.read_text()) == path.read_text()


def printed() -> str:
    """The code, with the parts of each message joined."""
    code = [*ROOT.glob("src/**/*.py"), *ROOT.glob("stages/*.py"), ROOT / "Makefile"]
    return re.sub(r'"\s+f?"', "", "\n".join(path.read_text() for path in code))


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("training.md", "best val Dice"),
        ("training.md", "smallest region"),
        ("refiner.md", "val, clean / degraded: "),
        ("refiner.md", "the U-Net with its cut-offs"),
        ("refiner.md", "over which no other gained"),
        ("serving.md", "/invocations (Ctrl-C ends it)"),
        ("experiments.md", "below the median of earlier trials"),
        ("experiments.md", "next: dvc exp apply "),
        ("experiments.md", "stopped early"),
    ],
)
def test_output_that_takes_a_training_or_a_server_is_shown_in_the_words_of_the_code(page, words):
    assert words in printed()
    assert words in " ".join(re.findall(r"```text\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL))


def test_messages_that_troubleshooting_explains_are_those_of_the_code():
    said = printed()
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    messages = re.findall(r"^\*\*`([^`]+)`", page.replace("\n", " ").replace("  **", "\n**"), re.MULTILINE)
    assert len(messages) > 20

    def known(message: str) -> bool:
        """Whether the code says it, or three words of it where values may stand between them."""
        words = message.split()
        found = [" ".join(words[start : start + 3]) in said for start in range(len(words) - 2)]
        return message in said or (len(words) > 4 and any(found))

    unknown = {message for message in messages if not known(message)}
    assert unknown == {  # with a value among every three words, but for the first
        "nerveseg: command not found",  # the shell's
        "params.yaml was not found",
        "params.yaml: lr changed from ... while train_unet ran",
        "nerveseg has no alias 'champion'",
    }
