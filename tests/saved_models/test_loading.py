"""Which model a folder holds, and what is said of one that holds none or has lost its config file."""

import io
import json
import shutil
import zipfile
from pathlib import Path

import h5py
import pytest

from drawn_models import FLOAT, VAL, member, segmenter
from nerveseg.errors import ModelError
from nerveseg.files.checked_folder import list_files
from nerveseg.saved_models.ensemble import Ensemble
from nerveseg.saved_models.loading import load_predictor
from nerveseg.saved_models.openvino_export import export


@pytest.mark.parametrize("config", ["exported.json", "ensemble.json", "segmenter.json"])
def test_the_config_file_that_a_model_has_lost_is_named(tmp_path, config):
    (tmp_path / config).write_text("{}")
    list_files(tmp_path)
    (tmp_path / config).unlink()
    with pytest.raises(ModelError, match=f"{config} was not found; "):
        load_predictor(tmp_path)


def test_a_folder_without_a_model_and_one_that_is_not_there_are_told_without_a_guess_at_its_kind(tmp_path):
    with pytest.raises(
        ModelError, match="holds no trained model; name the folder of a trained model, or run `dvc repro`"
    ):
        load_predictor(tmp_path)
    with pytest.raises(
        ModelError, match="absent was not found; name the folder of a trained model, or run `dvc repro`"
    ):
        load_predictor(tmp_path / "absent")


def relisted(folder: Path) -> None:
    """Make the lists of a folder, and of those inside it, again: a change that no digest tells of."""
    for path in sorted(folder.rglob("files.json"), key=lambda path: -len(path.parts)):
        list_files(path.parent)


def edit(name: str, **values: object):
    def change(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        for key, value in values.items():
            content[key] = content[key] | value if isinstance(value, dict) else value
        (folder / name).write_text(json.dumps(content))

    return change


def exchange(one: str, other: str):
    def change(folder: Path) -> None:
        for suffix in (".xml", ".bin"):
            first, second = ((folder / "member_0" / name).with_suffix(suffix) for name in (one, other))
            contents = first.read_bytes(), second.read_bytes()
            second.write_bytes(contents[0])
            first.write_bytes(contents[1])

    return change


def write(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


def empty_weights(folder: Path) -> None:
    h5py.File(folder / "unet.weights.h5", "w").close()


def archive(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archived:
        for name, text in files.items():
            archived.writestr(name, text)
    return content.getvalue()


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A folder of each kind of model."""
    root = tmp_path_factory.mktemp("models")
    for name in ("exported", "plain", "refined", "ensemble"):
        (root / name).mkdir()
    export(segmenter(4), root / "exported", FLOAT, VAL, "gan")
    segmenter().save(root / "plain")
    segmenter(4).save(root / "refined")
    Ensemble({"a": member(1), "b": member(2)}).save(root / "ensemble")
    return root


PLAIN_MEMBER = {"flip": False, "refined": False}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        ("exported", edit("exported.json", height=97), r"unet\.xml does not fit .* takes frames \[\?,32,64,1\] f32, expected frames \[\?,97,64,1\] f32"),
        ("exported", edit("exported.json", width=32), r"unet\.xml does not fit .* expected frames \[\?,32,32,1\] f32"),
        ("exported", edit("exported.json", members=[PLAIN_MEMBER]), r"differ \(member_0/judge\.xml, member_0/refiner\.xml\)"),
        ("exported", edit("exported.json", members=[PLAIN_MEMBER] * 2), r"differ .*member_1/unet\.xml"),
        ("exported", exchange("unet", "judge"), r"unet\.xml does not fit .* returns poor .*, expected logits"),
        ("exported", exchange("unet", "refiner"), r"unet\.xml does not fit .* takes frames .*, unet_logits .*, expected frames"),
        ("exported", exchange("judge", "refiner"), r"judge\.xml does not fit .* takes frames"),
        ("exported", edit("exported.json", cutoffs={"threshold": 1.5}), r"cutoffs\.threshold: is 1\.5; give `expected` or a number between 0 and 1; make"),
        ("plain", edit("segmenter.json", input={"height": 33}), r"input\.height is 33; .* needs a multiple of 4; run"),
        ("plain", edit("segmenter.json", unet={"encoder": "inceptionv3"}), "inceptionv3 needs at least 75 pixels"),
        ("plain", edit("segmenter.json", unet={"depth": 3}), r"unet\.weights\.h5: weights cannot be loaded"),
        ("plain", empty_weights, r"unet\.weights\.h5: weights cannot be loaded"),
        ("refined", edit("refined_segmenter.json", filters=1), r"filters: .* greater than or equal to 2"),
        ("refined", edit("refined_segmenter.json", filters=10**7), r"filters: .* less than or equal to 256"),
        ("refined", edit("refined_segmenter.json", filters=5), r"refiner\.npz: weights cannot be loaded"),
        ("refined", write("refiner.npz", archive(a=b"hello")), r"refiner\.npz: weights cannot be loaded"),
        ("refined", write("refiner.npz", b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (0,)}" + b" " * 63), r"refiner\.npz: weights cannot be loaded"),
        ("ensemble", edit("ensemble.json", members=["a", "a"]), r"ensemble\.json cannot be used: members: a member stands more than once"),
        ("ensemble", edit("members/a/segmenter.json", input={"width": 32}), "a of 32 x 32, b of 32 x 64"),
        ("ensemble", edit("members/a/segmenter.json", grey_range={"integer": [0, 4095]}), "the same black and white"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_each_other_are_told_though_every_file_is_as_listed(models, tmp_path, kind, change, told):
    folder = shutil.copytree(models / kind, tmp_path / kind)
    change(folder)
    relisted(folder)
    with pytest.raises(ModelError, match=told):
        load_predictor(folder)
