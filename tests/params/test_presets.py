"""The files of presets/, which `dvc exp run` takes as they stand: each value is one that params allow."""

import re
import shutil

import pytest
from dvc.utils.hydra import apply_overrides

from nerveseg.params.file import read_params
from nerveseg.registry.project_params import load_project_params
from paths import ROOT

PRESETS = sorted((ROOT / "presets").iterdir())


def settings(preset):
    """What `$(grep -v '^#' PRESET)` gives to `dvc exp run -S`."""
    words = [word for line in preset.read_text().splitlines() if not line.startswith("#") for word in line.split()]
    assert words[::2] == ["-S"] * (len(words) // 2)
    return words[1::2]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.name)
def test_a_preset_sets_keys_that_exist_to_values_that_are_allowed_and_leaves_the_rest(preset, tmp_path):
    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    before = read_params(path)
    apply_overrides(path, settings(preset))  # a key that is not in params.yaml raises
    load_project_params(path)
    after = read_params(path)
    changed = {
        f"{name}.{key}"
        for name, of in after.items()
        if isinstance(of, dict)
        for key in of
        if of[key] != before[name][key]
    }
    assert changed == {setting.partition("=")[0] for setting in settings(preset)}
    comments = [re.findall(r"#.*", text.read_text()) for text in (ROOT / "params.yaml", path)]
    assert comments[0] == comments[1]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.name)
def test_no_variant_of_a_preset_comes_twice(preset):
    values = dict(setting.split("=") for setting in settings(preset))
    assert int(values["augment.variants"]) == int(values["unet.epochs"]) - 1
