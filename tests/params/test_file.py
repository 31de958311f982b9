import difflib
import re
import shutil
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from flatten_dict import flatten

from nerveseg.errors import ParamsError
from nerveseg.params.networks import ENCODERS
from nerveseg.registry.project_params import load_project_params
from paths import ROOT


@pytest.fixture
def changed(tmp_path):
    """Writes the committed params with one key set to a value (dotted name)."""

    def write(key: str, value: Any) -> Any:
        content = yaml.safe_load((ROOT / "params.yaml").read_text())
        *sections, last = key.split(".")
        section = content
        for name in sections:
            section = section[name]
        section[last] = value
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def after_dvc(tmp_path, *overrides):
    """The lines that `dvc exp run -S` takes out of the committed file, and those that it puts in."""
    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    apply_overrides(path, list(overrides))
    before, after = (file.read_text().splitlines() for file in (ROOT / "params.yaml", path))
    changes = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
    return [[line[1:] for line in changes if line[0] == sign] for sign in "-+"]


def test_an_experiment_changes_the_lines_of_its_keys_and_no_other(tmp_path):
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    keys = [key for key, value in flatten(content, reducer="dot").items() if not isinstance(value, list)]
    left, came = after_dvc(tmp_path, *(f"{key}=12345" for key in keys))
    assert len(left) == len(came) == len(keys)
    for old, new in zip(left, came, strict=True):
        assert (comment_of(old), new.split(":")[0]) == (comment_of(new), old.split(":")[0])


def test_an_experiment_that_changes_lists_keeps_all_else(tmp_path):
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    keys = [key for key, value in flatten(content, reducer="dot").items() if isinstance(value, list)]
    left, came = after_dvc(tmp_path, "data.spacing_mm=[7.5]", *(f"{key}=[7.5]" for key in keys))
    assert all(
        line.startswith("  - ") or line.partition(":")[2].strip().startswith("[]")
        for line in left
        if "spacing" not in line
    )
    assert came.count("  - 7.5") == len(keys) + 1
    assert [comment_of(line) for line in left if ":" in line] == [comment_of(line) for line in came if ":" in line]


def comment_of(line):
    return line.partition("#")[2]


def test_the_committed_params_are_valid():
    assert load_project_params(ROOT / "params.yaml").lr > 0


@pytest.mark.parametrize(("text", "value"), [("1e-3", 1e-3), ("1e-4", 1e-4), ("1e-05", 1e-5), ("3e-4", 3e-4)])
def test_numbers_that_yaml_reads_as_text_are_numbers(changed, text, value):
    assert load_project_params(changed("lr", text)).lr == value


def test_params_cannot_be_changed_after_reading():
    params = load_project_params(ROOT / "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        params.unet.epochs = 3


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("unet.bas_filters", 8, "unet.bas_filters is not a parameter; did you mean base_filters"),
        ("unet.colour", 8, "unet.colour is not a parameter; allowed here: architecture, base_filters"),
        ("epochs", 8, "epochs is not a parameter; did you mean unet.epochs or gan.epochs?"),
        ("epoch", 8, "epoch is not a parameter; did you mean unet.epochs or gan.epochs?"),
        ("data.dir", None, "data.dir is empty; input should be a valid string"),
        (
            "tracking.model_name",
            "nerve-1.2",
            "tracking.model_name: it is nerve-1.2; MLflow allows no . in a model's name",
        ),
        ("unet.lr", 8, "unet.lr is not a parameter; did you mean lr or gan.lr?"),
        ("learning", 8, "learning is not a parameter; allowed here: augment, data"),
        ("unet.depth", 9, "unet.depth is 9; input should be less than or equal to 5"),
        ("lr", 0, "lr is 0; input should be greater than 0"),
        ("lr", "fast", "lr is 'fast'; input should be a valid number"),
        ("lr", float("nan"), "lr is nan; input should be a finite number"),
        ("preprocess.width", 100, "preprocess.width is 100; input should be a multiple of 32"),
        ("postprocess.score", "iou", "postprocess.score is 'iou'; input should be 'challenge' or 'dice_nerve'"),
        ("split.test_subjects", 1, "split.test_subjects is 1; give a list in brackets, such as [1]"),
        ("data.spacing_mm", 0.1, "data.spacing_mm is 0.1; give a list in brackets, such as [0.1, 0.1]"),
        ("data.spacing_mm", [0.1], "data.spacing_mm.1 is missing: the list is too short; add it"),
        ("data.subject_pattern", 5, "data.subject_pattern is 5; input should be a valid string"),
        ("split.val_subjects", "A", "split.val_subjects is 'A'; give a list in brackets, such as ['A']"),
        ("unet.encoder", "resnet35", "encoder is 'resnet35'; it must be one of plain, efficientnetlite0, "),
        ("split.fold", 3, "fold is 3, folds is 0"),
        ("degradation.blur", [1, 2, 3, 3, 4], "is [1.0, 2.0, 3.0, 3.0, 4.0]; each severity must be stronger"),
        ("degradation.blur", [1, 2, 3, 4], "degradation.blur.4"),
        (
            "degradation.jpeg",
            [0.5, 1, 2, 3, 4],
            "jpeg begins with 0.5; each strength divides the size and must be at least 1",
        ),
        ("split.test_subjects", [7, 7], "test_subjects names 7 more than once"),
        ("unet.encoder", "plain", "the plain encoder has no pretrained weights; set encoder_weights to null"),
        ("split.test_fraction", 0.9, "val_fraction 0.12 + test_fraction 0.9 must be below 1"),
        ("gan.warmup_epochs", 99, "warmup_epochs must be below epochs"),
        ("unet.init_from", "/models/mine", "unet.init_from: it is /models/mine, of this machine"),
        ("unet.dice_weight", -1, "unet.dice_weight is -1; input should be greater than or equal to 0"),
    ],
)
def test_a_wrong_key_or_value_is_refused_by_name_with_what_is_allowed(changed, key, value, told):
    with pytest.raises(ParamsError) as refusal:
        load_project_params(changed(key, value))
    assert told in str(refusal.value)


def lists():
    sections = {key: value for key, value in load_project_params(ROOT / "params.yaml") if key != "tracking"}
    kinds = {
        f"{name}.{key}": field
        for name, section in sections.items()
        for key, field in getattr(type(section), "model_fields", {}).items()
    }
    return [key for key, field in kinds.items() if "tuple" in str(field.annotation) or "BlackWhite" in str(field)]


@pytest.mark.parametrize("key", lists())
@pytest.mark.parametrize(
    "value", [0.1, 1, 2, 3, -1, 70000, True, "7", "it's", "#ff0000", "1, 2", {"a": 1}, "x" * 99, 1.1]
)
def test_a_value_where_a_list_belongs_gets_no_example_that_would_be_refused_in_turn(changed, key, value):
    with pytest.raises(ParamsError, match=r"give a list in brackets( \(see|, such as )") as refusal:
        load_project_params(changed(key, value))
    if example := re.search(r", such as (.*)", str(refusal.value)):
        load_project_params(changed(key, yaml.safe_load(example[1])))


@pytest.mark.parametrize("key", ["data.dir", "unet.init_from", "evaluate.ensemble"])
def test_a_folder_in_which_nobody_expands_the_home_is_refused_with_the_one_that_is_meant(changed, monkeypatch, key):
    monkeypatch.setenv("HOME", "/home/ada")
    with pytest.raises(ParamsError, match=rf"{key}: ~ and \$ in ~/x were not expanded; write /home/ada/x"):
        load_project_params(changed(key, "~/x"))


def test_a_missing_section_is_named(tmp_path):
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    del content["gan"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ParamsError, match="gan is missing"):
        load_project_params(tmp_path / "params.yaml")


def test_every_mistake_is_told_at_once(changed):
    path = changed("lr", -1)
    content = yaml.safe_load(path.read_text())
    content["unet"]["epochs"] = 0
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ParamsError) as refusal:
        load_project_params(path)
    assert "lr is -1" in str(refusal.value)
    assert "unet.epochs is 0" in str(refusal.value)


def test_a_subject_in_two_splits_is_refused_whether_number_or_text(changed):
    path = changed("split.val_subjects", [7])
    content = yaml.safe_load(path.read_text())
    content["split"]["test_subjects"] = ["7"]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ParamsError, match="subjects 7 stand in val_subjects and in test_subjects"):
        load_project_params(path)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ParamsError, match=r"git checkout params\.yaml"):
        load_project_params(tmp_path / "params.yaml")


def test_a_folder_in_place_of_the_file_is_told(tmp_path):
    with pytest.raises(ParamsError, match="cannot be read"):
        load_project_params(tmp_path)


def test_the_encoders_are_those_that_segmentation_models_has():
    import segmentation_models

    assert sorted(segmentation_models.get_available_backbone_names()) == sorted(ENCODERS)


def of_unet(changed, width, **unet):
    path = changed("preprocess.width", width)
    content = yaml.safe_load(path.read_text())
    content["unet"] |= unet
    path.write_text(yaml.safe_dump(content))
    return path


def test_stem_and_depth_of_the_plain_unet_bind_its_input_and_that_of_no_other_encoder(changed):
    with pytest.raises(ParamsError, match=r"preprocess.width is 160; .* stem 2, depth 5 needs a multiple of 64"):
        load_project_params(of_unet(changed, 160, stem=2, depth=5, encoder="plain", encoder_weights=None))
    assert load_project_params(of_unet(changed, 160, stem=2, depth=5, encoder="resnet18")).preprocess.width == 160
    with pytest.raises(ParamsError, match=r"preprocess.width is 160; .* pspnet.* needs a multiple of 48"):
        load_project_params(of_unet(changed, 160, encoder="resnet18", architecture="pspnet"))


@pytest.mark.parametrize("encoder", ["inceptionv3", "inceptionresnetv2"])
def test_encoders_of_the_inception_family_refuse_frames_that_they_would_shrink_to_nothing(changed, encoder):
    with pytest.raises(
        ParamsError, match=rf"preprocess.width is 64; unet.encoder {encoder} needs .* 75 .* make it 96 or more"
    ):
        load_project_params(of_unet(changed, 64, encoder=encoder))
    assert load_project_params(of_unet(changed, 96, encoder=encoder)).preprocess.width == 96


@pytest.mark.parametrize(
    ("unet", "message"),
    [
        ({"architecture": "fpn"}, "architecture is fpn, but the efficientnetlite0 encoder makes a unet only"),
        ({"ghost_batches": 3}, "batch_size is 16 and ghost_batches is 3; a batch must split into equal parts"),
    ],
)
def test_what_does_not_go_together_is_refused(changed, unet, message):
    with pytest.raises(ParamsError, match=message):
        load_project_params(of_unet(changed, 128, **unet))


@pytest.mark.parametrize(
    ("key", "typed", "value"),
    [
        ("seed", "010", 10),
        ("seed", "1_2", 12),
        ("seed", "+7", 7),
        ("lr", "1e-05", 1e-5),
        ("lr", ".5", 0.5),
        ("lr", "'0.5'", 0.5),
        ("tracking.enabled", "no", False),
        ("tracking.enabled", "On", True),
        ("tracking.experiment", "no", "no"),
        ("tracking.experiment", "12:30", "12:30"),
        ("tracking.experiment", "2024-01-05", "2024-01-05"),
        ("tracking.experiment", "010", "010"),
        ("tracking.experiment", "1_2", "1_2"),
        ("tracking.experiment", "0x10", "0x10"),
        ("split.test_subjects", "[7, '007', no, NA, 1_2, 12:30, 2024-01-05, 'null', on, 0x10]",
         ("7", "007", "no", "NA", "1_2", "12:30", "2024-01-05", "null", "on", "0x10")),
        ("unet.encoder_weights", "~", None),
        ("data.nerve_labels", "['#FF00aa', 3]", ("#ff00aa", 3)),
        ("data.nerve_labels", "[nerve, brachial plexus]", ("nerve", "brachial plexus")),
    ],
)  # fmt: skip
def test_a_value_is_what_was_typed_and_not_what_old_yaml_makes_of_it(with_typed, key, typed, value):
    params = load_project_params(with_typed(key, typed))
    for name in key.split("."):
        params = getattr(params, name)
    assert params == value


@pytest.mark.parametrize(
    ("key", "typed", "told"),
    [
        ("seed", "12:30", "seed is '12:30'; input should be a valid integer"),
        ("seed", "0x10", "seed is '0x10'; input should be a valid integer"),
        ("seed", "yes", "seed is 'yes'; input should be a valid integer"),
        ("lr", "~", "lr is empty; input should be a valid number"),
        ("lr", ".nan", "lr is nan; input should be"),
        ("lr", "2024-01-05", "lr is '2024-01-05'; input should be a valid number"),
        ("tracking.enabled", "2", "tracking.enabled is 2; input should be a valid boolean"),
        ("tracking.experiment", "1.10", "tracking.experiment is 1.1 to YAML; put it in quotes"),
        ("tracking.experiment", "~", "tracking.experiment is empty; input should be a valid string"),
        (
            "data.nerve_labels",
            "['#f00']",
            "is '#f00'; give a number from 1 to 65535, a colour of six digits such as '#ff0000', or a name such as nerve",
        ),
        ("data.nerve_labels", "[#ff0000]", "put colours in quotes: '#ff0000'"),
        ("split.test_subjects", "[1.10]", "a subject is 1.1 to YAML; put its name in quotes"),
        ("split.test_subjects", "[~]", "a subject is None to YAML; put its name in quotes"),
        ("split.test_subjects", "[true]", "a subject is True to YAML; put its name in quotes"),
    ],
)
def test_a_value_that_cannot_be_what_was_meant_is_refused_by_its_key(with_typed, key, typed, told):
    with pytest.raises(ParamsError) as refusal:
        load_project_params(with_typed(key, typed))
    assert told in str(refusal.value)


@pytest.fixture
def with_typed(tmp_path):
    """Writes the committed params with the text of one key's value replaced."""

    def write(key, typed):
        lines = (ROOT / "params.yaml").read_text().splitlines()
        section, _, name = key.rpartition(".")
        start = lines.index(next(line for line in lines if line.startswith(f"{section}:"))) if section else 0
        at = next(i for i in range(start, len(lines)) if lines[i].strip().startswith(f"{name}:"))
        lines[at] = f"{'  ' if section else ''}{name}: {typed}"
        (tmp_path / "params.yaml").write_text("\n".join(lines))
        return tmp_path / "params.yaml"

    return write


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1\nb: 2", "is not valid YAML: line 2, column 2: expected ',' or ']', but got ':'"),
        ("a: b: c", "is not valid YAML: line 1, column 5: mapping values are not allowed here"),
        ("\ta: 1", "is not valid YAML: line 1, column 1: found character '\\t' that cannot start any token"),
        ("a: \x00", "is not valid YAML: unacceptable character #x0000: special characters are not allowed position 3"),
        ("a: !!int x", "is not valid YAML: invalid literal for int()"),
        ("a: !!bool maybe", "is not valid YAML: 'maybe'"),
        ("a: !!timestamp x", "is not valid YAML: "),
        ("a: 1\nb: {c: 1, d: 2, c: 3}", "is not valid YAML: line 2, column 17: c stands in its section twice"),
        ("a: 1\na: 1", "is not valid YAML: line 2, column 1: a stands in its section twice; remove one of them"),
        ("a: !!map x", "is not valid YAML: line 1, column 4: expected a mapping node, but found scalar"),
        ("[" * 100_000, "is not valid YAML: maximum recursion depth exceeded"),
        ("", "is empty, expected a mapping"),
        ("- 1", "holds a list, expected a mapping"),
    ],
)
def test_a_file_that_is_no_yaml_mapping_is_one_line_that_says_where(tmp_path, text, told):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError) as raised:
        load_project_params(path)
    assert str(raised.value).startswith(f"{path} {told}")
    assert "\n" not in str(raised.value)
