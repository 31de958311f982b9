import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import kaggle_frames
from nerveseg.data.preparation import prepare_dataset
from nerveseg.errors import ModelError
from nerveseg.unseen import check_unseen, learnt_frames
from odd_files import dicom, encoded


@pytest.fixture
def manifest_of(tiny, tmp_path):
    """The manifest of a folder whose test subjects are named."""

    def read(folder, *test, **data):
        output = tmp_path / f"processed-{folder.name}"
        output.mkdir(exist_ok=True)
        changed = tiny.data.model_copy(update={"dir": str(folder), **data})
        split = tiny.split.model_copy(update={"test_subjects": test})
        return prepare_dataset(output, changed, split, tiny.preprocess, tiny.seed, tmp_path)[0].manifest

    return read


def remove(folder):
    for path in folder.glob("2_1*"):
        path.unlink()


def add(folder):
    kaggle_frames(folder, subjects=[2], frames=6)


def annotate_anew(folder):
    mask = np.array(Image.open(folder / "2_2_mask.tif"))
    mask[0, 0] = 255
    (folder / "2_2_mask.tif").write_bytes(encoded(mask))


def rename(folder):
    for path in sorted(folder.glob("2_*")):
        path.rename(folder / path.name.replace("2_", "99_", 1))


def save_as_png(folder):
    for path in sorted(folder.glob("2_*.tif")):
        path.with_suffix(".png").write_bytes(encoded(np.asarray(Image.open(path)), "PNG"))
        path.unlink()


def save_as_dicom(folder):
    lines = ["frame,subject"]
    for path in sorted(folder.glob("2_?.tif")):
        path.with_suffix(".dcm").write_bytes(dicom(np.asarray(Image.open(path))[np.newaxis]))
        path.unlink()
        lines.append(f"{path.stem},2")
    (folder / "subjects.csv").write_text("\n".join(lines))


CHANGES = [remove, add, annotate_anew, rename, save_as_png, save_as_dicom]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_learnt_subject_is_known_again_after_a_change_of_its_frames(manifest_of, tmp_path, change):
    before = learnt_frames(manifest_of(kaggle_frames(tmp_path / "before"), "1"))
    folder = kaggle_frames(tmp_path / "after")
    change(folder)
    now = manifest_of(folder, "99" if change is rename else "2")
    with pytest.raises(
        ModelError, match=r"models/gan has learnt from \d of the \d test frames, and so from 1 of the test"
    ):
        check_unseen(before, now, "models/gan")


def test_a_model_is_scored_on_subjects_that_it_has_never_seen(manifest_of, tmp_path):
    manifest = manifest_of(kaggle_frames(tmp_path / "before"), "1")
    check_unseen(learnt_frames(manifest), manifest, "models/gan")


def test_val_frames_count_as_learnt_since_they_chose_epoch_and_cutoffs():
    rows = [("a", "train", "1"), ("b", "val", "2"), ("c", "test", "3")]
    assert learnt_frames(pd.DataFrame(rows, columns=["subject", "split", "pixels"])) == {"1", "2"}


def test_keys_name_nobody_and_many_subjects_are_not_all_named():
    rows = [(f"subject {number}", "test", f"{number:064x}"[::-1]) for number in range(15)]
    manifest = pd.DataFrame(rows, columns=["subject", "split", "pixels"])
    keys = learnt_frames(manifest.assign(split="train"))
    assert all(len(key) == 16 and set(key) <= set("0123456789abcdef") for key in keys)
    with pytest.raises(ModelError, match=r"15 of the 15 test frames, .* \(subject 0, .*, subject 9 and 5 more\)"):
        check_unseen(keys, manifest, "models/gan")
