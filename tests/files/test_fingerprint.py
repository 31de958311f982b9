import ast
from pathlib import Path

import pytest

from nerveseg.files import fingerprint
from nerveseg.files.fingerprint import digest_of
from nerveseg.pipeline.code_deps import code_of
from paths import ROOT


def test_the_digest_follows_the_code(tmp_path, monkeypatch):
    package = tmp_path / "package" / "training"
    package.mkdir(parents=True)
    monkeypatch.setattr(fingerprint, "PACKAGE", package.parent)
    found = set()
    for code in ("decay = 0.99", "decay = 0.9"):
        (package / "supervised.py").write_text(code)
        found.add(digest_of({}, [], ["training"]))
    (package / "supervised.py").rename(package / "other.py")
    found.add(digest_of({}, [], ["training"]))
    assert len(found) == 3


def test_the_digest_follows_params_and_inputs(tmp_path):
    path = tmp_path / "input"
    path.write_bytes(b"one")
    first = digest_of({"lr": 1e-3}, [path], ["unet"])
    assert first == digest_of({"lr": 1e-3}, [path], ["unet"])
    assert first != digest_of({"lr": 1e-4}, [path], ["unet"])
    path.write_bytes(b"two")
    assert first != digest_of({"lr": 1e-3}, [path], ["unet"])


@pytest.mark.parametrize("stage", ["train_unet", "train_gan"])
def test_a_checkpoint_depends_on_packages_that_its_training_imports_and_on_no_other(stage):
    """On no package that writes files or words: a training that was stopped survives a change there."""
    (named,) = (
        ast.literal_eval(node.value)
        for node in ast.parse((ROOT / "stages" / f"{stage}.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMPUTES"
    )
    reached = {Path(path).name for path in code_of(stage, ROOT)}
    assert set(named) <= reached
    assert reached - set(named) <= {
        f"{stage}.py", "__init__.py", "errors.py", "evaluation", "files", "imaging", "params", "processes", "repository.py",
        "text",
    }  # fmt: skip
