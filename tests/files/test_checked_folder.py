"""Folders whose files are read only as they were written."""

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic.dataclasses import dataclass

from nerveseg.errors import DatasetError, ModelError
from nerveseg.files.checked_folder import STRICT, CheckedFolder, list_files, write_typed
from nerveseg.inference.postprocessing import Cutoffs
from nerveseg.saved_models.openvino_predictor import ExportedConfig, ExportedMember
from odd_files import flip_a_bit
from paths import ROOT
from processes import run


@dataclass(frozen=True, config=STRICT)
class Thing:
    size: int
    share: float


def folder_with(path, **files):
    path.mkdir(exist_ok=True)
    for name, content in files.items():
        (path / name).write_bytes(content)
    list_files(path)
    return CheckedFolder(path, ModelError, "make it again")


def test_a_file_that_is_as_it_was_written_is_given(tmp_path):
    folder = folder_with(tmp_path, a=b"1", b=b"")
    assert folder.file("a") == tmp_path / "a"
    assert folder.files() == [tmp_path / "a", tmp_path / "b"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(before=st.binary(max_size=40), after=st.binary(max_size=40))
def test_any_other_content_is_refused_and_the_same_is_taken(tmp_path, before, after):
    folder = folder_with(tmp_path, a=before)
    (tmp_path / "a").write_bytes(after)
    if after == before:
        assert folder.file("a").read_bytes() == before
        return
    with pytest.raises(
        ModelError, match=r"a is damaged or was changed: \d+ bytes with MD5 .*, expected .*; make it again"
    ):
        folder.file("a")


def test_what_is_missing_unlisted_or_no_file_is_named(tmp_path):
    folder = folder_with(tmp_path / "it", a=b"1", b=b"1")
    (tmp_path / "it" / "a").unlink()
    (tmp_path / "it" / "c").touch()
    (tmp_path / "it" / "b").unlink()
    (tmp_path / "it" / "b").mkdir()
    for name, told in {"a": "was not found", "b": "cannot be read", "c": "is not listed in .*files.json"}.items():
        with pytest.raises(ModelError, match=f"it/{name} {told}.*; make it again"):
            folder.file(name)
    with pytest.raises(DatasetError, match=r"it/a/x cannot be read \(Not a directory\)"):
        CheckedFolder(folder_with(tmp_path / "it", a=b"1").path / "a", DatasetError, "go").file("x")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"a": 1}', '{"a": {"bytes": -1, "md5": "0"}}', '{"a": {}}', "\udcff"]
)
def test_a_damaged_list_is_named(tmp_path, content):
    folder_with(tmp_path, a=b"1")
    (tmp_path / "files.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ModelError, match=r"files\.json cannot be used: .*; make it again"):
        CheckedFolder(tmp_path, ModelError, "make it again").file("a")


def test_a_folder_inside_with_a_list_of_its_own_is_listed_by_it(tmp_path):
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    folder_with(tmp_path / "sub", x=b"1")
    folder_with(tmp_path / "sub" / "deep", y=b"1")
    folder_with(tmp_path, a=b"1")
    assert set(json.loads((tmp_path / "files.json").read_text())) == {"a", "sub/files.json", "sub/deep/files.json"}
    (tmp_path / "sub" / "files.json").write_text("{}")
    with pytest.raises(ModelError, match=r"sub/files\.json is damaged or was changed"):
        CheckedFolder(tmp_path, ModelError, "make it again").files()


def test_a_value_comes_back_and_equal_values_are_equal_bytes(tmp_path):
    value = Thing(3, 0.1 + 0.2)
    for name in ("a.json", "b.json"):
        write_typed(tmp_path / name, value)
    list_files(tmp_path)
    assert CheckedFolder(tmp_path, ModelError, "").read("a.json", Thing) == value
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


GOOD = {
    "height": 32, "width": 64, "cutoffs": {"threshold": 0.5, "min_area": 0.01, "presence": 0.3}, "learnt_frames": ["a"],
    "precision": "int8", "source": "gan", "grey_range": {}, "members": [{"flip": False, "refined": True}], "simulated_only": False,
}  # fmt: skip


def read_exported(folder, text):
    (folder / "exported.json").write_text(text)
    list_files(folder)
    return CheckedFolder(folder, ModelError, "make it again").read("exported.json", ExportedConfig)


def test_a_description_is_read_as_what_it_was(tmp_path):
    config = read_exported(tmp_path, json.dumps(GOOD))
    assert config.members == (ExportedMember(flip=False, refined=True),)
    assert config.cutoffs == Cutoffs(0.5, 0.01, 0.3)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("height", value) for value in (0, -1, "96", None, 3.5, True, 10**9, [96])],
        *[("members", value) for value in ([], None, {}, [{}], [{"flip": 1, "refined": True}], [True])],
        *[("precision", value) for value in ("int4", None, "")],
        *[("source", value) for value in ("exported", None, 1)],
        *[("learnt_frames", value) for value in ("abc", [1], None)],
        *[("simulated_only", value) for value in (None, 1, "true")],
        *[("threshold", value) for value in ("foo", float("nan"), float("inf"), -5, 0, 1.0, 7, None, "0.5", [0.5])],
        *[("min_area", value) for value in (None, -0.1, 1.0, "0", float("-inf"), True)],
        *[("presence", value) for value in ("0.3", -1e-9, 2, float("nan"))],
        ("nonsense", 1),
    ],
)
def test_an_impossible_value_is_one_sentence_that_names_its_key(tmp_path, key, value):
    within = GOOD["cutoffs"] if key in GOOD["cutoffs"] else GOOD
    changed = within | {key: value}
    text = json.dumps(GOOD | {"cutoffs": changed} if within is not GOOD else changed)
    with pytest.raises(ModelError, match=rf"exported\.json cannot be used: .*{key}.*; make it again") as told:
        read_exported(tmp_path, text)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("text", ["", "[", "[]", "3", "null", '{"height": 1} x', "\0"])
def test_what_is_no_description_is_one_sentence(tmp_path, text):
    with pytest.raises(ModelError, match=r"exported\.json cannot be used: .*; make it again"):
        read_exported(tmp_path, text)


MAKE = "from pathlib import Path; from nerveseg.files.checked_folder import list_files; p = Path('made'); p.mkdir(); (p / 'a').write_bytes(b'weights' * 99); list_files(p)"


@pytest.mark.slow
def test_a_damaged_file_of_dvc_s_cache_is_named_and_following_what_is_said_mends_it(repo, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    (repo / "make.py").write_text(MAKE)
    (repo / "dvc.yaml").write_text("stages: {make: {cmd: python make.py, deps: [make.py], outs: [made]}}")
    run("dvc", "init", "-q")
    run("dvc", "repro", "-q")
    (cached,) = (path for path in (repo / ".dvc" / "cache").rglob("*") if path.is_file() and path.stat().st_size == 693)
    flip_a_bit(cached)
    cached.chmod(0o444)  # as DVC leaves it, and trusts it
    shutil.rmtree(repo / "made")
    run("dvc", "repro", "-q")
    folder = CheckedFolder(Path("made"), ModelError, "make it again")
    with pytest.raises(
        ModelError, match=r"made/a is damaged .*; DVC's cache is damaged: delete (\S+) and made"
    ) as told:
        folder.file("a")
    assert Path(re.search(r"delete (\S+) and", str(told.value))[1]).samefile(cached)
    cached.unlink()
    shutil.rmtree(repo / "made")
    run("dvc", "repro", "-q")
    assert folder.file("a").read_bytes() == b"weights" * 99
    flip_a_bit(repo / "made" / "a")
    with pytest.raises(ModelError, match=r"made/a is damaged .*; delete made and run `dvc checkout`"):
        folder.file("a")
    shutil.rmtree(repo / "made")
    run("dvc", "checkout", "-q")
    assert folder.file("a")
