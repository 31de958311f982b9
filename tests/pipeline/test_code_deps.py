"""`dvc.yaml` against the code: a stage depends on its script and on the modules it imports, and on no other."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

from nerveseg.params.fields import Section
from nerveseg.params.file import Params
from nerveseg.pipeline.code_deps import code_of, with_code_deps
from nerveseg.registry.project_params import load_project_params
from paths import ROOT

PACKAGE = ROOT / "src" / "nerveseg"
OBSERVERS = {
    "tracking", "registry", "experiments", "file_prediction", "live_view", "pipeline", "commands", "cli", "invocation", "local_server",
}  # fmt: skip
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
FIXED_ORDER = [
    "phantom", "preprocess", "augment", "train_unet", "train_gan", "export", "predict", "robustness", "evaluate", "visualize",
]  # fmt: skip


def test_the_stages_are_those_of_the_design_in_their_order():
    assert list(STAGES) == FIXED_ORDER


@pytest.mark.parametrize("stage", FIXED_ORDER)
def test_a_stage_depends_on_its_script_and_on_the_packages_it_imports_and_on_no_other_code(stage):
    assert STAGES[stage]["cmd"] == f"PYTHONPATH=src python -m nerveseg.pipeline {stage}"
    listed = [dep for dep in STAGES[stage]["deps"] if dep.startswith(("stages/", "src/"))]
    assert listed == code_of(stage, ROOT), "run `python -m nerveseg.pipeline.code_deps`"


@pytest.mark.parametrize("stage", FIXED_ORDER)
def test_no_stage_depends_on_what_looks_on(stage):
    packages = {Path(dep).name for dep in STAGES[stage]["deps"] if dep.startswith("src/")}
    assert not packages & OBSERVERS


def test_code_deps_are_those_that_the_program_writes():
    text = (ROOT / "dvc.yaml").read_text()
    assert with_code_deps(text, ROOT) == text


def packages_and_imports() -> dict[str, set[str]]:
    """Of each package, and of each module at the top, which others it imports."""
    imports: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        found = imports.setdefault(room, set())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nerveseg."):
                found.add(node.module.split(".")[1])
    return {room: found - {room} for room, found in imports.items()}


def test_imports_run_one_way_between_packages():
    TopologicalSorter(packages_and_imports()).prepare()  # raises CycleError, which names the circle


def test_modules_do_not_import_each_other_in_a_circle():
    graph = {}
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(["nerveseg", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
        graph[module] = {
            node.module
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nerveseg.")
        }
    TopologicalSorter(graph).prepare()


def test_what_looks_on_is_imported_by_what_looks_on_alone():
    for room, imported in packages_and_imports().items():
        assert room in OBSERVERS or not imported & OBSERVERS, room


def test_modules_and_scripts_stay_small():
    assert [path for path in PACKAGE.rglob("*.py") if len(path.read_text().splitlines()) > 250] == []
    assert [path for path in (ROOT / "stages").glob("*.py") if len(path.read_text().splitlines()) > 80] == []


@pytest.mark.parametrize("stage", FIXED_ORDER)
def test_every_param_of_a_stage_exists_and_tracking_is_never_one(stage):
    for name in STAGES[stage]["params"]:
        value = load_project_params(ROOT / "params.yaml")
        for part in name.split("."):
            value = getattr(value, part)
    assert not any(name.startswith("tracking") for name in STAGES[stage]["params"])


def test_every_section_of_the_params_belongs_to_a_stage():
    used = {name.split(".")[0] for stage in STAGES.values() for name in stage["params"]}
    assert used == set(Params.model_fields) - {"tracking", "gate"}


@pytest.mark.parametrize("stage", FIXED_ORDER)
def test_a_stage_lists_each_param_that_its_code_reads(stage):
    tree = ast.parse((ROOT / "stages" / f"{stage}.py").read_text())
    read = {
        ast.unparse(node).removeprefix("params.")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("params.")
    }
    listed = set(STAGES[stage]["params"])
    for name in read - {"model_dump"}:
        section, *key = name.split(".")
        if section == "tracking" or not (
            key or isinstance(getattr(load_project_params(ROOT / "params.yaml"), section), Section)
        ):
            assert section in {*listed, "tracking"}, name
        elif key:
            assert section in listed or name in listed, name


def test_every_param_is_read_somewhere():
    code = "\n".join(path.read_text() for path in [*ROOT.glob("src/**/*.py"), *ROOT.glob("stages/*.py")])
    for path in (PACKAGE / "params").glob("*.py"):
        code = code.replace(path.read_text(), "")
    for section, field in Params.model_fields.items():
        for name in getattr(field.annotation, "model_fields", {}):
            assert f".{name}" in code or f'"{name}"' in code, f"{section}.{name}"
