"""Odd and bad input, one kind at a time, added to a good data set: is it used, or quarantined with its reason?"""

import io
import os
import re

import cv2
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian

from nerveseg.preprocessing.audit import take_inventory
from odd_files import SIZE, blob, dicom, encoded, paged, palette, picture, segmentation, tiff_claiming

FRAME, MASK = encoded(picture()), encoded(blob())
BLACK = np.zeros(SIZE, np.uint8)
HALF = np.kron(picture()[::2, ::2], np.ones((1, 1), np.uint8))
WIDE = picture().astype(np.uint16)
COLOUR = np.dstack([picture()] * 3)
NAN = picture().astype(np.float32)
NAN[3, 4] = np.nan
LOSSY = encoded(blob(), "JPEG", quality=60)
MOSTLY = np.full(SIZE, 255, np.uint8)
MOSTLY[:, :30] = 0
GRADIENT = np.tile(np.linspace(0, 255, SIZE[1]).astype(np.uint8), (SIZE[0], 1))
LABELLED = blob(value=2).astype(np.uint16)
LABELLED[20:24, 30:46] = 1000
ORGANS = blob(value=1)
ORGANS[20:29, 30:46] = np.arange(9 * 16).reshape(9, 16) % 12 + 1
RESAVED = blob()
RESAVED[19, 30:46], RESAVED[20, 30:46], RESAVED[29, 30:40] = 1, 254, 2
LOOP = np.stack([picture(seed) for seed in (11, 12, 13)])


def encoded_floats():
    """A TIFF of 64-bit floats, which Pillow does not write."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, picture().astype(np.float64))
    return buffer.getvalue()


def pair(frame=FRAME, mask=MASK, suffix="tif", mask_suffix="tif", name="9_1"):
    return {f"{name}.{suffix}": frame, f"{name}_mask.{mask_suffix}": mask}


ACCEPTED = {
    "an LZW TIFF": pair(encoded(picture(), compression="tiff_lzw")),
    "a deflated TIFF": pair(encoded(picture(), compression="tiff_adobe_deflate")),
    "PNG": pair(encoded(picture(), "PNG"), encoded(blob(), "PNG"), "png", "png"),
    "BMP": pair(encoded(picture(), "BMP"), encoded(blob(), "BMP"), "bmp", "bmp"),
    "a JPEG frame": pair(encoded(picture(), "JPEG"), suffix="jpg"),
    "a PNG that is called TIFF": pair(encoded(picture(), "PNG")),
    "suffixes in capitals": pair(suffix="TIF", mask_suffix="TIFF"),
    "a 16-bit TIFF": pair(encoded(WIDE * 257)),
    "a 16-bit PNG": pair(encoded(WIDE * 257, "PNG"), suffix="png"),
    "12 bits in 16": pair(encoded(WIDE * 16)),
    "floats from 0 to 1": pair(encoded(picture().astype(np.float32) / 255)),
    "floats from 0 to 255": pair(encoded(picture().astype(np.float32))),
    "an RGB frame": pair(encoded(COLOUR)),
    "an RGBA frame": pair(encoded(np.dstack([COLOUR, MOSTLY]), "PNG"), suffix="png"),
    "a palette frame": pair(encoded(Image.fromarray(COLOUR).quantize(64), "PNG"), suffix="png"),
    "a frame of another size": pair(encoded(picture(3, (60, 100))), encoded(blob((60, 100)))),
    "an empty mask": pair(mask=encoded(BLACK)),
    "a mask of 0 and 1": pair(mask=encoded(blob(value=1))),
    "a mask of one bit": pair(mask=encoded(Image.fromarray(blob()).convert("1"))),
    "a mask of 16 bits": pair(mask=encoded(blob().astype(np.uint16) * 257)),
    "a palette mask": pair(mask=palette(blob(value=2), [(0, 0, 0), (9, 9, 9), (200, 0, 0)]), mask_suffix="png"),
    "an RGB mask": pair(mask=encoded(np.dstack([blob(), blob(value=0), blob(value=0)]))),
    "an RGBA mask": pair(mask=encoded(np.dstack([blob()] * 4), "PNG"), mask_suffix="png"),
    "a JPEG mask": pair(mask=LOSSY, mask_suffix="jpg"),
    "a smoothed mask": pair(mask=encoded(cv2.GaussianBlur(blob(), (5, 5), 0))),
    "a frame in a folder below": {f"more/{file}": content for file, content in pair().items()},
    "spaces and accents in a folder": {f"Klinik Süd 1/{file}": content for file, content in pair().items()},
    "a single DICOM frame": pair(dicom(picture()[np.newaxis]), suffix="dcm"),
    "a DICOM file without a suffix": {"9_1": dicom(picture()[np.newaxis]), "9_1_mask.tif": MASK},
    "a colour DICOM": pair(dicom(np.dstack([picture()] * 3)[np.newaxis], SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0), suffix="dcm"),
    "a DICOM file named by its UID": {"1.2.840.5": dicom(picture()[np.newaxis]), "1.2.840.5_mask.tif": MASK},
    "a DICOM of 16 bits, 8 of them in use": pair(dicom(WIDE[np.newaxis]), suffix="dcm"),
    "a 16-bit file of 8 bits": pair(encoded(WIDE)),
    "a mask of 0 and 256": pair(mask=encoded(blob().astype(np.uint16) // 255 * 256)),
    "a mask of 0, 2 and 1000": pair(mask=encoded(LABELLED)),
    "a 16-bit DICOM mask of 0 and 1": pair(mask=dicom(blob(value=1)[np.newaxis].astype(np.uint16)), mask_suffix="dcm"),
    "a mask of thirteen organs": pair(mask=encoded(ORGANS)),
    "a JPEG mask saved again as PNG": pair(mask=encoded(RESAVED, "PNG"), mask_suffix="png"),
    "a palette whose first entry is white": pair(mask=palette(blob(value=1), [(255, 255, 255), (200, 0, 0)]), mask_suffix="png"),
    "a palette of one colour": pair(mask=palette(blob(value=1), [(0, 0, 0), (0, 0, 0)]), mask_suffix="png"),
    "pairs in a folder called images": {f"images/{file}": content for file, content in pair().items()},
    "a DICOM frame of 16 bits": pair(dicom(WIDE[np.newaxis] * 257), suffix="dcm"),
}  # fmt: skip

QUARANTINED = {
    "an empty file": (pair(b""), "the file is empty"),
    "an empty mask file": (pair(mask=b""), "the file is empty"),
    "a truncated TIFF": (pair(FRAME[:-900]), "damaged, cut short or"),
    "a truncated LZW TIFF": (pair(encoded(picture(), compression="tiff_lzw")[:-60]), "damaged|no image"),
    "a truncated PNG": (pair(encoded(picture(), "PNG")[:-60], suffix="png"), "damaged, cut short or"),
    "a PNG without its end": (pair(encoded(picture(), "PNG")[:-12], suffix="png"), "cut short"),
    "a truncated JPEG": (pair(encoded(picture(), "JPEG")[:-200], suffix="jpg"), "damaged, cut short or"),
    "a truncated BMP": (pair(encoded(picture(), "BMP")[:-200], suffix="bmp"), "damaged, cut short or"),
    "a truncated mask": (pair(mask=MASK[:-900]), "damaged, cut short or"),
    "text called TIFF": (pair(b"Frame 1 of subject 9"), "no image"),
    "a GIF called PNG": (pair(encoded(picture(), "GIF"), suffix="png"), "a GIF, expected TIFF, PNG"),
    "a pickle called TIFF": (pair(b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x8c\x05hello\x94."), "no image"),
    "an image without mask": ({"9_1.tif": FRAME}, "its mask is missing"),
    "a mask without image": ({"9_1_mask.tif": MASK}, "its frame is missing"),
    "sizes that differ": (pair(mask=encoded(blob()[:40])), "80x48 pixels and its mask 80x40"),
    "a black frame": (pair(encoded(BLACK)), "every pixel is 0, the frame is black"),
    "a constant frame": (pair(encoded(BLACK + 7)), "every pixel is 7"),
    "a saturated frame": (pair(encoded(np.maximum(picture(), MOSTLY))), "6[0-9]% of the pixels are white"),
    "NaN": (pair(encoded(NAN)), "not a number"),
    "an infinite pixel": (pair(encoded(np.where(np.isnan(NAN), np.inf, NAN))), "not a number or infinite"),
    "floats out of range": (pair(encoded(NAN[:2] * 9)), r"pixels from .* expected 0\.\.1 or 0\.\.255"),
    "32-bit integers out of range": (pair(encoded(picture().astype(np.int32) * 9999)), "expected none below 0, and 8 or 16 bits"),
    "a mask over half of the frame": (pair(mask=encoded(MOSTLY)), "covers 62% of the frame"),
    "a picture as a mask": (pair(mask=encoded(GRADIENT)), "which are no labels"),
    "a mask of fractions": (pair(mask=encoded(blob().astype(np.float32) / 510)), "no labels"),
    "a mask with NaN": (pair(mask=encoded(np.where(blob() > 0, np.nan, 0).astype(np.float32))), "not a number"),
    "masks of two sizes": (
        {"9_1.tif": FRAME, "9_1_mask.tif": MASK, "9_1_mask_1.tif": encoded(blob()[:40])}, "1 mask of 80x40 pixels",
    ),
    "a decompression bomb": (pair(tiff_claiming(60000, 60000)), "claims 60000x60000 pixels"),
    "a zero-size image": (pair(tiff_claiming(0, 0)), "0x0 pixels"),
    "several pages": (pair(paged([picture(), picture(1)])), "more than one page, expected one frame"),
    "names that differ in case": ({**pair(), **pair(encoded(picture(4)), suffix="TIF")}, "only in case"),
    "two files of one name": ({**pair(), "9_1.png": encoded(picture(5), "PNG")}, "has the same name"),
    "one frame number in two folders": ({**pair(), **{f"b/{f}": c for f, c in pair().items()}}, "has the same name"),
    "text called DICOM": (pair(b"x" * 400, suffix="dcm"), "no readable DICOM image"),
    "a truncated DICOM": (pair(dicom(picture()[np.newaxis])[:-500], suffix="dcm"), "its header announces"),
    "a DICOM header alone": (pair(dicom(picture()[np.newaxis])[:300], suffix="dcm"), "no readable DICOM image"),
    "a DICOM deflated as a whole": (
        pair(dicom(picture()[np.newaxis], syntax=DeflatedExplicitVRLittleEndian), suffix="dcm"), "deflated as a whole",
    ),
    "a DICOM of levels below zero": (pair(dicom(picture()[np.newaxis], PixelRepresentation=1), suffix="dcm"), "below 0"),
    "a loop with one mask": (pair(dicom(LOOP), suffix="dcm"), "3 frames, but 9_1_mask.tif holds 1 mask"),
    "a bomb in DICOM": (
        pair(dicom(picture()[np.newaxis], Rows=60000, Columns=60000), suffix="dcm"), "claims 1 frames of 60000x60000",
    ),
    "64-bit floats": (pair(encoded_floats()), r"64-bit floating point\), expected grey levels of 8 or 16 bits"),
    "a frame with two pages of masks": (pair(mask=paged([blob(), blob()])), "one frame, but 9_1_mask.tif holds 2 masks"),
    "no image by its name": ({"9_1.txt": b"note"}, "no image by its name"),
    "a hidden file": ({"._9_1.tif": FRAME}, "a hidden file"),
    "no suffix and no DICOM": ({"9_1": b"note"}, "no image by its name"),
}  # fmt: skip


@pytest.fixture
def folder(kaggle_folder):
    return kaggle_folder(subjects=[1])


def inventory_of(folder, tiny, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return take_inventory(folder, tiny.data, folder.parent, (32, 64), clear_names=True)


@pytest.mark.parametrize("kind", ACCEPTED)
def test_a_file_that_is_odd_but_sound_is_used(folder, tiny, kind):
    inventory = inventory_of(folder, tiny, ACCEPTED[kind])
    assert inventory.quarantined == []
    (name,) = set(inventory.manifest["frame"]) - {"1_1", "1_2", "1_3", "1_4"}
    assert name in {"9_1", "1.2.840.5", "more/9_1"}
    row = inventory.manifest.set_index("frame").loc[name]
    expected = 0 if kind == "an empty mask" else 9 * 16
    assert row["mask_area"] == pytest.approx(expected, abs=8 if "JPEG" in kind or "smoothed" in kind else 0)
    assert len(inventory.manifest) == 5


@pytest.mark.parametrize("kind", QUARANTINED)
def test_a_file_that_is_bad_is_quarantined_with_its_reason_and_a_remedy(folder, tiny, kind):
    files, reason = QUARANTINED[kind]
    inventory = inventory_of(folder, tiny, files)
    table = {item.file: item for item in inventory.quarantined}
    used = {"9_1"} & set(inventory.manifest["frame"])
    assert not used or kind in {"two files of one name", "one frame number in two folders"}
    assert any(re.search(reason, item.reason) for item in table.values())
    assert all(item.remedy for item in table.values())
    accounted = set(table) | ({"9_1.tif", "9_1_mask.tif"} if used else set())
    assert set(files) <= accounted
    assert {"1_1", "1_2", "1_3", "1_4"} <= set(inventory.manifest["frame"])


def test_more_than_forty_kinds_are_tried():
    assert len(ACCEPTED) + len(QUARANTINED) >= 40


def test_a_link_that_leaves_the_folder_is_not_followed(folder, tiny, tmp_path):
    (tmp_path / "secret.tif").write_bytes(FRAME)
    (folder / "9_1.tif").symlink_to(tmp_path / "secret.tif")
    inventory = inventory_of(folder, tiny, {"9_1_mask.tif": MASK})
    reasons = {item.file: item.reason for item in inventory.quarantined}
    assert reasons == {"9_1.tif": "a link that leaves the folder", "9_1_mask.tif": "its partner 9_1.tif cannot be used"}


def test_a_link_within_the_folder_is_followed(folder, tiny):
    (folder / "9_1.tif").symlink_to(folder / "1_1.tif")
    inventory = inventory_of(folder, tiny, {"9_1_mask.tif": MASK})
    assert "9_1" in set(inventory.manifest["frame"])


def test_a_link_into_the_cache_of_dvc_is_the_file_itself(folder, tiny, tmp_path):
    cached = tmp_path / "cache" / "files" / "md5" / "0a" / ("b" * 30)
    cached.parent.mkdir(parents=True)
    cached.write_bytes(FRAME)
    (folder / "9_1.tif").symlink_to(cached)
    assert "9_1" in set(inventory_of(folder, tiny, {"9_1_mask.tif": MASK}).manifest["frame"])


def test_a_link_to_nothing_and_a_link_to_a_folder_are_named(folder, tiny, tmp_path):
    (folder / "9_1.tif").symlink_to(folder / "gone.tif")
    (folder / "around").symlink_to(folder)
    reasons = {item.file: item.reason for item in inventory_of(folder, tiny, {}).quarantined}
    assert reasons["9_1.tif"] == "a link to nothing"
    assert "a link to a folder" in reasons["around"]


def test_a_pipe_is_not_waited_for(folder, tiny):
    os.mkfifo(folder / "9_1.tif")
    reasons = {item.file: item.reason for item in inventory_of(folder, tiny, {"9_1_mask.tif": MASK}).quarantined}
    assert reasons["9_1.tif"] == "it is no regular file"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_and_a_folder_that_may_not_be_read_are_named(folder, tiny):
    (folder / "closed").mkdir(mode=0o000)
    (folder / "9_1.tif").write_bytes(FRAME)
    (folder / "9_1.tif").chmod(0)
    reasons = {item.file: item.reason for item in inventory_of(folder, tiny, {"9_1_mask.tif": MASK}).quarantined}
    assert "Permission denied" in reasons["9_1.tif"]
    assert "Permission denied" in reasons["closed"]
    (folder / "closed").chmod(0o700)


@pytest.mark.parametrize(("first", "second"), [(["nerve", "artery"], ["artery", "nerve"]), (["nerve"], ["Artery"])])
@pytest.mark.parametrize("labels", [(), (1,)])
def test_a_segment_number_that_means_another_structure_in_another_file_is_an_error(
    tmp_path, tiny, labels, first, second
):
    named = {"a": first, "b": second, "c": [f"{name.upper()} " for name in first]}
    files = {f"{key}.dcm": dicom(picture(number)[np.newaxis]) for number, key in enumerate(named)}
    files |= {f"{key}_mask.dcm": segmentation([blob(value=1)], [1], [1], names) for key, names in named.items()}
    tiny = tiny.model_copy(update={"data": tiny.data.model_copy(update={"nerve_labels": labels})})
    unclear = inventory_of(tmp_path, tiny, files).unclear
    assert unclear.startswith(
        "DICOM segmentations name their segments differently: 1 is 'artery' in b_mask.dcm and 'nerve' in a_mask.dcm, c_mask.dcm"
    )
    assert "give its segment one name in all files (SegmentLabel, 0062,0005)" in unclear
    renamed = pydicom.dcmread(tmp_path / "b_mask.dcm")
    for segment, name in zip(renamed.SegmentSequence, first, strict=True):
        segment.SegmentLabel = name
    renamed.save_as(tmp_path / "b_mask.dcm")
    del files["b_mask.dcm"]
    assert inventory_of(tmp_path, tiny, files).unclear == ""
