import pytest

from nerveseg.errors import DatasetError
from nerveseg.preprocessing.layouts import natural_key, recognise


@pytest.fixture
def folder(tmp_path):
    """Makes empty files, and folders where needed; recognition goes by names alone."""

    def make(*names):
        for name in names:
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "set"

    return make


def pairs(layout, root):
    return {
        source.name: (
            source.frame.relative_to(root).as_posix(),
            *(mask.relative_to(root).as_posix() for mask in source.masks),
        )
        for source in layout.sources
    }


def test_kaggle_s_layout_is_known_by_its_names_and_comes_in_natural_order(folder):
    root = folder("10_1.tif", "10_1_mask.tif", "2_11.tif", "2_11_mask.tif", "2_9.tif", "2_9_mask.tif")
    layout = recognise(root)
    assert (layout.name, layout.quarantined) == ("Kaggle", [])
    assert [source.name for source in layout.sources] == ["2_9", "2_11", "10_1"]


def test_kaggle_s_layout_may_lie_in_folders_below(folder):
    layout = recognise(folder("a/2_1.tif", "a/2_1_mask.tif", "b/1_1.tif", "b/1_1_mask.tif"))
    assert layout.name == "Kaggle"
    assert [source.name for source in layout.sources] == ["1_1", "2_1"]


@pytest.mark.parametrize("frames", ["images", "imgs", "frames", "Images"])
@pytest.mark.parametrize("masks", ["masks", "labels", "annotations", "segmentations"])
@pytest.mark.parametrize("suffix", ["", "_mask", "_MASK_1"])
def test_two_folders_are_paired_by_stem(folder, frames, masks, suffix):
    root = folder(f"{frames}/p1_a.png", f"{masks}/p1_a{suffix}.png")
    layout = recognise(root)
    assert layout.name == "images and masks"
    assert pairs(layout, root) == {"p1_a": (f"{frames}/p1_a.png", f"{masks}/p1_a{suffix}.png")}


def test_the_two_folders_of_nnu_net_are_paired_without_the_number_of_the_channel(folder):
    root = folder("imagesTr/us_001_0000.png", "labelsTr/us_001.png", "imagesTs/us_002_0000.png", "labelsTs/us_002.png")
    assert pairs(recognise(root), root) == {
        f"us_00{n}": (f"images{part}/us_00{n}_0000.png", f"labels{part}/us_00{n}.png")
        for n, part in ((1, "Tr"), (2, "Ts"))
    }


def test_the_two_folders_of_mmsegmentation_are_paired_within_each_split(folder):
    files = [f"{kind}_dir/{split}/1.png" for split in ("train", "val") for kind in ("img", "ann")]
    root = folder(*files)
    assert pairs(recognise(root), root) == {"train/1": tuple(files[:2]), "val/1": tuple(files[2:])}


@pytest.mark.parametrize(
    ("frames", "masks"),
    [("train_images", "train_masks"), ("TrainImages", "trainMasks"), ("a/us-img", "a/us label"), ("train", "train_seg"),
     ("imgs2", "GT 2"), ("images/val_frames", "images/val_masks"), ("images", "image_masks"), ("IMAGES_1", "MASKS_1"),
     ("train_scans/p1", "train_ground_truth/p1"), ("imgs_M\xfcller", "masks_Mu\u0308ller"), ("train/images", "train/masks"),
     ("images/train", "labels/train"), ("train_images/images", "train_images/masks")],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["", "_mask"])
def test_folders_side_by_side_that_differ_in_the_word_for_frames_or_masks_are_paired(folder, frames, masks, suffix):
    root = folder(f"{frames}/1.png", f"{masks}/1{suffix}.png", f"{frames}/2_mask.png", f"{masks}/2_mask{suffix}.png")
    layout = recognise(root)
    assert sorted(pairs(layout, root).values()) == [
        (f"{frames}/1.png", f"{masks}/1{suffix}.png"),
        (f"{frames}/2_mask.png", f"{masks}/2_mask{suffix}.png"),
    ]
    assert (layout.name, layout.quarantined) == ("images and masks", [])


@pytest.mark.parametrize(
    ("one", "other"),
    [("Mary", "Mary_Ann"), ("p1", "Seger"), ("face_images", "nerve_masks"), ("v2/images", "labels_v2/images"), ("a", "b/a_mask"),
     ("train_images/x", "train_masks")],
)  # fmt: skip
def test_a_folder_whose_name_only_sounds_like_masks_holds_frames_and_is_told_where_it_may_not(folder, one, other):
    root = folder(f"{one}/1.png", f"{other}/1.png")
    told = {item.file: item for item in recognise(root).quarantined}
    assert told[f"{other}/1.png"].reason == "its mask is missing"
    remedy = "if it is itself a mask, call its folder masks and that of its frame images; else add 1_mask"
    assert told[f"{other}/1.png"].remedy.startswith(remedy) == ("mask" in other or "label" in other)


def test_masks_in_a_format_that_is_not_read_are_known_by_their_folder(folder):
    told = {item.file: item.reason for item in recognise(folder("train/1.jpg", "train_masks/1.gif")).quarantined}
    assert told["train/1.jpg"] == "its partner train_masks/1.gif cannot be used"


@pytest.mark.parametrize("form", [0, 1])
def test_a_frame_and_its_mask_whose_accents_are_stored_in_two_ways_are_a_pair(folder, form):
    names = ("M\xfcller_1", "Mu\u0308ller_1") if form else ("Mu\u0308ller_1", "M\xfcller_1")
    root = folder(f"{names[0]}.png", f"{names[1]}_mask.png", f"images/x{names[0]}.png", f"masks/x{names[1]}.png")
    layout = recognise(root)
    assert [*pairs(layout, root)] == ["M\xfcller_1", "xM\xfcller_1"]
    assert layout.quarantined == []


def test_frames_whose_names_differ_only_in_how_accents_are_stored_are_refused_and_told_so(folder):
    names = ("\xe9_1", "e\u0301_1")
    layout = recognise(folder(*(f"{name}{kind}.png" for name in names for kind in ("", "_mask"))))
    assert layout.sources == []
    told = {item.reason.removeprefix("its name differs from ") for item in layout.quarantined}
    assert told == {
        f"{name}{kind}.png only in case or in how its accents are stored" for name in names for kind in ("", "_mask")
    }


@pytest.mark.parametrize(
    "mask", ["1_1_mask_nerve", "1_1_mask (1)", "1_1_seg-left", "1_1.label.2", "1_1_gt", "1_1Mask", "1_1_msk", "1_1_roi"]
)
def test_what_is_called_like_the_mask_of_a_frame_beside_it_is_told_as_that(folder, mask):
    told = {item.file: item for item in recognise(folder("1_1.png", f"{mask}.png")).quarantined}
    assert told[f"{mask}.png"].reason == "by its name it might be a mask of 1_1.png"
    assert told["1_1.png"].remedy.startswith("add 1_1_mask")


def test_a_mask_with_another_suffix_than_mask_in_a_folder_of_masks_is_told_with_its_frame(folder):
    told = {item.file: item for item in recognise(folder("images/p1_1.png", "masks/p1_1_seg.png")).quarantined}
    assert told["masks/p1_1_seg.png"].remedy == (
        "if it is the mask of images/p1_1.png, give it that frame's name with _mask at the end"
    )


@pytest.mark.parametrize(
    ("frame", "mask"),
    [("p1_image.png", "p1_mask.png"), ("images/img_1.png", "masks/mask_1.png"), ("images/a-img.png", "labels/a.png")],
)
def test_a_mask_that_is_called_after_what_its_frame_shows_is_told_with_its_frame(folder, frame, mask):
    told = {item.file: item for item in recognise(folder(frame, mask)).quarantined}
    assert told[mask].remedy == f"if it is the mask of {frame}, give it that frame's name with _mask at the end"


def test_kaggle_s_pairs_in_a_folder_called_images_are_pairs(folder):
    root = folder("images/1_1.tif", "images/1_1_mask.tif", "images/1_2.tif", "images/1_2_mask.tif")
    layout = recognise(root)
    assert (layout.name, layout.quarantined) == ("Kaggle", [])
    assert pairs(layout, root)["1_1"] == ("images/1_1.tif", "images/1_1_mask.tif")


def test_a_frame_called_like_a_mask_keeps_the_mask_of_its_own(folder):
    root = folder("images/a.png", "images/a_mask.png", "masks/a.png", "masks/a_mask_mask.png")
    assert pairs(recognise(root), root) == {
        "a": ("images/a.png", "masks/a.png"),
        "a_mask": ("images/a_mask.png", "masks/a_mask_mask.png"),
    }


def test_folders_of_subjects_inside_the_two_folders_keep_equal_stems_apart(folder):
    root = folder(*(f"{kind}/{who}/001.png" for kind in ("images", "masks") for who in ("p1", "p2")))
    assert list(pairs(recognise(root), root)) == ["p1/001", "p2/001"]


def test_the_two_folders_may_lie_in_each_part_of_a_split(folder):
    root = folder(*(f"{part}/{kind}/001.png" for kind in ("images", "masks") for part in ("train", "test")))
    assert list(pairs(recognise(root), root)) == ["test/001", "train/001"]


def test_several_masks_of_a_frame_belong_together(folder):
    root = folder("x.png", "x_mask.png", "x_mask_1.png", "x_mask_10.png", "x_mask_2.png")
    layout = recognise(root)
    assert layout.name == "frames beside masks"
    assert pairs(layout, root) == {"x": ("x.png", "x_mask.png", "x_mask_1.png", "x_mask_2.png", "x_mask_10.png")}


@pytest.mark.parametrize("other", ["labels/1_1.png", "1_1_mask.png", "masks/1_1_mask.png", "masks/1_1_mask_1.png"])
def test_masks_of_one_frame_in_two_places_are_refused_with_both_as_frames_are(folder, other):
    layout = recognise(folder("images/1_1.png", "masks/1_1.png", other, "images/2_1.png", "masks/2_1.png"))
    told = {item.file: item.reason for item in layout.quarantined}
    assert [source.name for source in layout.sources] == ["2_1"]
    assert (told["masks/1_1.png"], told[other]) == (
        f"{other} belongs to the same frame",
        "masks/1_1.png belongs to the same frame",
    )
    both = sorted(["masks/1_1.png", other])
    assert told["images/1_1.png"].removeprefix("its mask stands twice (").removesuffix(")").split(", ") in (
        both,
        both[::-1],
    )


def test_dicom_takes_the_place_of_the_frame_or_the_mask(folder):
    root = folder("loop.dcm", "loop_mask.tif", "other.DCM", "other_mask.dcm")
    layout = recognise(root)
    assert layout.name == "DICOM"
    assert pairs(layout, root) == {
        "loop": ("loop.dcm", "loop_mask.tif"),
        "other": ("other.DCM", "other_mask.dcm"),
    }


def test_a_partner_that_is_missing_is_told_with_what_to_add(folder):
    layout = recognise(folder("1_1.tif", "1_1_mask.tif", "1_2.tif", "1_3_mask.tif"))
    told = {item.file: (item.reason, item.remedy) for item in layout.quarantined}
    assert told["1_2.tif"] == ("its mask is missing", "add 1_2_mask (all zero where no nerve is seen)")
    assert told["1_3_mask.tif"][0] == "its frame is missing"


def test_frames_in_a_folder_of_no_usual_name_are_told_to_be_in_images(folder):
    layout = recognise(folder("Original/1.png", "GroundTruth/1.png", "b/Original/2.png", "b/GroundTruth/2.png"))
    told = {item.file: item.remedy for item in layout.quarantined}
    assert told["b/GroundTruth/2.png"] == "if b/Original/2.png is its frame, call that frame's folder images"
    assert told["GroundTruth/1.png"] == "if Original/1.png is its frame, call that frame's folder images"
    assert told["Original/1.png"] == "if GroundTruth/1.png is its mask, call this frame's folder images"


def test_every_file_is_used_or_quarantined_exactly_once(folder):
    names = {
        "1_1.tif", "1_1_mask.tif", "1_2.tif", "1_2.png", "1_2_mask.tif", "1_3_mask.tif", "notes.txt", ".DS_Store", "A.tif",
        "a.tif", "b/1_1.tif", "b/1_1_mask.tif", "Thumbs.db",
    }  # fmt: skip
    root = folder(*names)
    layout = recognise(root)
    used = [file for files in pairs(layout, root).values() for file in files]
    assert sorted(used + [item.file for item in layout.quarantined]) == sorted(names)


def test_a_folder_that_is_missing_says_where_frames_belong(tmp_path):
    with pytest.raises(DatasetError, match=r"none is not a folder.*S_N\.tif.*data\.dir"):
        recognise(tmp_path / "none")


def test_natural_order_counts_numbers_as_numbers():
    names = ["10_1", "2_10", "2_9", "b", "a2", "a10"]
    assert sorted(names, key=natural_key) == ["2_9", "2_10", "10_1", "a2", "a10", "b"]


def test_a_name_with_a_line_break_has_a_mask_like_any_other(folder):
    root = folder("a\nb.png", "a\nb_mask.png", "images/c\nd.png", "masks/c\nd_mask_1.png")
    assert list(pairs(recognise(root), root)) == ["a\nb", "c\nd"]


def test_the_mask_of_frames_that_differ_in_case_says_that_its_partner_cannot_be_used(folder):
    layout = recognise(folder("a.tif", "A.TIF", "a_mask.tif"))
    told = {item.file: item.reason for item in layout.quarantined}
    assert told["a_mask.tif"] == "its partner a.tif cannot be used"
    assert "only in case" in told["A.TIF"]


def test_a_partner_of_another_format_is_told_as_unusable_and_not_as_missing(folder):
    folder("a.tif", "a_mask.gif", "images/b.webp", "masks/b.png", "c.tif", "d.tif")
    (folder() / "c_mask.tif").symlink_to("/etc/hostname")
    (folder() / "d_mask.tif.dvc").touch()
    layout = recognise(folder())
    told = {item.file: item.reason for item in layout.quarantined}
    partners = {"a.tif": "a_mask.gif", "masks/b.png": "images/b.webp", "c.tif": "c_mask.tif", "d.tif": "d_mask.tif.dvc"}
    for file, partner in partners.items():
        assert told[file] == f"its partner {partner} cannot be used"


def test_folders_of_the_system_hold_no_frames(folder):
    below = ["__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", "#recycle", ".Trash-0"]
    root = folder("1_1.tif", "1_1_mask.tif", *(f"{name}/9_9{part}.tif" for name in below for part in ("", "_mask")))
    layout = recognise(root)
    assert list(pairs(layout, root)) == ["1_1"]
    assert {item.file for item in layout.quarantined if item.foreign} == set(below)


def test_what_dvc_tracks_and_nobody_pulled_is_missing(folder):
    layout = recognise(folder("1_1.tif.dvc", "1_2.tif", "1_2.tif.dvc", "1_2_mask.tif"))
    told = {item.file: (item.remedy, item.foreign) for item in layout.quarantined}
    assert told == {"1_1.tif.dvc": ("run `dvc pull`", False), "1_2.tif.dvc": ("nothing", True)}


@pytest.mark.parametrize("name", ["set ", "set\n"])
def test_a_space_at_the_end_of_a_path_can_be_seen_in_the_message(folder, name):
    root = folder("1_1.tif")
    with pytest.raises(DatasetError, match=r"^'.*/set( |\\n)' is not a folder"):
        recognise(root.with_name(name))


def test_a_path_that_is_too_long_says_so(tmp_path):
    with pytest.raises(DatasetError, match=r"too long\); check the path"):
        recognise(tmp_path / ("x" * 300))
