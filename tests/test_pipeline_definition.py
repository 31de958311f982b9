"""`dvc.yaml` against the code: a stage depends on its script and on the modules it imports, and on no other."""

import ast
from pathlib import Path

import pytest
import yaml

from nerveseg.params.fields import Section
from nerveseg.params.file import Params
from nerveseg.registry.project_params import load_project_params

ROOT = Path(__file__).resolve().parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
FIXED_ORDER = ["phantom", "preprocess", "augment", "train_unet", "train_gan", "export", "evaluate", "visualize"]


def module_path(name: str) -> Path | None:
    path = ROOT / "src" / Path(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def imported_modules(path: Path) -> set[Path]:
    """The files of the package that `path` names in its import statements, wherever they stand in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    ours = {name for name in names if name.split(".")[0] == "nerveseg"}
    packages = {".".join(name.split(".")[: depth + 1]) for name in ours for depth in range(name.count("."))}
    return {found for name in ours | packages if (found := module_path(name))}


def code_of(script: Path) -> set[str]:
    """The script, all modules that it reaches through imports, and the templates and scripts that lie beside them."""
    seen: set[Path] = set()
    waiting = {script}
    while waiting:
        path = waiting.pop()
        seen.add(path)
        waiting |= imported_modules(path) - seen
    beside = {path.parent for path in seen if path.name == "page.py" and path.parent.name == "reporting"}
    templates = {file for folder in beside for kind in ("html", "js") for file in folder.rglob(f"*.{kind}")}
    filled = {path for path in seen | templates if path.stat().st_size}
    return {str(path.relative_to(ROOT)) for path in filled}


def test_the_stages_are_those_of_the_design_in_their_order():
    assert list(STAGES) == FIXED_ORDER


@pytest.mark.parametrize("stage", FIXED_ORDER)
def test_a_stage_depends_on_its_script_and_on_what_it_imports_and_on_no_other_code(stage):
    assert STAGES[stage]["cmd"] == f"PYTHONPATH=src python stages/{stage}.py"
    listed = {dep for dep in STAGES[stage]["deps"] if dep.startswith(("stages/", "src/"))}
    assert listed == code_of(ROOT / "stages" / f"{stage}.py")


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
    code = code.replace((ROOT / "src/nerveseg/params.py").read_text(), "")
    for section, field in Params.model_fields.items():
        for name in getattr(field.annotation, "model_fields", {}):
            assert f".{name}" in code or f'"{name}"' in code, f"{section}.{name}"
