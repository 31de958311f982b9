"""Which model a folder holds, and what is said of one that holds none or has lost its config file."""

import pytest

from nerveseg.errors import ModelError
from nerveseg.files.checked_folder import list_files
from nerveseg.saved_models.loading import load_predictor


@pytest.mark.parametrize("config", ["exported.json", "ensemble.json", "segmenter.json"])
def test_the_config_file_that_a_model_has_lost_is_named(tmp_path, config):
    (tmp_path / config).write_text("{}")
    list_files(tmp_path)
    (tmp_path / config).unlink()
    with pytest.raises(ModelError, match=f"{config} was not found; "):
        load_predictor(tmp_path)


def test_a_folder_without_a_model_and_one_that_is_not_there_are_told_without_a_guess_at_its_kind(tmp_path):
    with pytest.raises(ModelError, match="holds no trained model; run `dvc repro`"):
        load_predictor(tmp_path)
    with pytest.raises(ModelError, match="absent was not found; run `dvc repro`"):
        load_predictor(tmp_path / "absent")
