import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from drawn_frames import kaggle_frames
from nerveseg.dataset.leakage import check_unseen, learnt_frames
from nerveseg.errors import ModelError
from nerveseg.phantom.simulation import Subject
from nerveseg.preprocessing.packing import prepare_dataset
from nerveseg.preprocessing.sketches import look
from odd_files import dicom, encoded, picture
from tiny_params import phantom_params


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
    assert check_unseen(learnt_frames(manifest), manifest, "models/gan") == ""


def test_val_frames_count_as_learnt_since_they_chose_epoch_and_cutoffs():
    rows = [("a", "train", "1", "x"), ("b", "val", "2", "y"), ("c", "test", "3", "z")]
    assert learnt_frames(pd.DataFrame(rows, columns=["subject", "split", "pixels", "look"])) == {"1x", "2y"}


def test_keys_name_nobody_and_many_subjects_are_not_all_named():
    rows = [(f"subject {number}", "test", f"{number:064x}"[::-1], "0" * 64) for number in range(15)]
    manifest = pd.DataFrame(rows, columns=["subject", "split", "pixels", "look"])
    keys = learnt_frames(manifest.assign(split="train"))
    assert all(len(key) == 80 and set(key) <= set("0123456789abcdef") for key in keys)
    with pytest.raises(ModelError, match=r"15 of the 15 test frames, .* \(subject 0, .*, subject 9 and 5 more\)"):
        check_unseen(keys, manifest, "models/gan")


COPIES = {
    "compressed": lambda frame: cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 0),
    "smaller": lambda frame: cv2.resize(frame, None, fx=0.7, fy=0.7),
    "larger": lambda frame: cv2.resize(frame, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC),
    "brighter": lambda frame: np.uint8(255 * (frame / 255.0) ** 0.8),
}


@pytest.fixture(scope="module")
def looks():
    """Of the frames of each subject of two phantoms, and of copies of the first one's."""
    params = phantom_params(subjects=4, frames_per_subject=4)
    frames = {
        seed: [Subject(seed, number, params).frame(n)[0] for number in range(1, 5) for n in range(1, 5)]
        for seed in (1, 2)
    }
    found = {seed: [look(frame) for frame in of_seed] for seed, of_seed in frames.items()}
    return found | {name: [look(copy(frame)) for frame in frames[1]] for name, copy in COPIES.items()}


def scored(looks):
    rows = [(f"f{n}", "test", f"{n:064x}", one) for n, one in enumerate(looks)]
    return pd.DataFrame(rows, columns=["frame", "split", "pixels", "look"]).assign(subject="a")


def keys(looks):
    return learnt_frames(scored(looks).assign(split="train", pixels="f" * 64))


@pytest.mark.parametrize("copy", COPIES)
def test_copies_of_learnt_frames_that_were_changed_are_told_with_their_number(looks, copy):
    told = check_unseen(keys(looks[1]), scored(looks[copy]), "models/gan")
    assert told.startswith(
        "16 of the 16 test frames (f0, f1, f2 and 13 more) look like frames that models/gan has learnt from"
    )


def test_frames_of_subjects_of_another_phantom_look_like_none_that_was_learnt(looks):
    assert check_unseen(keys(looks[1]), scored(looks[2]), "models/gan") == ""
    assert check_unseen(keys(looks[1][:4]), scored(looks[1][4:]), "models/gan") == ""


def screen(seed):
    """A screen of which the scan is a sixth."""
    shown = picture(100, (96, 128)).copy()
    shown[40:72, 20:84] = picture(seed, (32, 64))
    return shown


def test_screens_of_one_machine_look_like_learnt_frames_only_if_their_scans_do():
    learnt = keys([look(screen(seed)) for seed in range(1, 7)])
    assert check_unseen(learnt, scored([look(screen(seed)) for seed in range(7, 12)]), "models/gan") == ""
    copies = [look(COPIES["compressed"](screen(seed))) for seed in range(1, 4)]
    assert check_unseen(learnt, scored(copies), "models/gan").startswith(
        "3 of the 3 test frames (f0, f1, f2) look like"
    )
