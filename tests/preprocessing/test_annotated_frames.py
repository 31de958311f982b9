import cv2
import numpy as np
import pytest

from nerveseg.imaging.grey_range import GreyRange
from nerveseg.preprocessing.annotated_frames import AnnotatedFrame, load
from nerveseg.preprocessing.layouts import Source
from nerveseg.preprocessing.listing import Names, Refused
from nerveseg.preprocessing.source_files import Reading
from odd_files import blob, dicom, encoded, paged, picture

LOOP = np.stack([picture(seed) for seed in range(3)])
BLOBS = np.stack([blob(), blob(value=0), np.roll(blob(), 5, axis=1)])

UNKNOWN = GreyRange()


@pytest.fixture
def found(tmp_path):
    """Writes files and loads the one source that they make."""

    def read(*, labels=(), salt=b"salt", grey_range=UNKNOWN, **files):
        paths = []
        for stem, content in files.items():
            path = tmp_path / stem.replace("__", ".")
            path.write_bytes(content)
            paths.append(path)
        source = Source("9_1", paths[0], tuple(paths[1:]))
        return list(load(source, Reading(tmp_path, labels, salt, grey_range=grey_range)))

    return read


def big(pixels):
    return pixels.repeat(4, axis=0).repeat(4, axis=1)


def test_frames_and_masks_keep_their_pixels(found):
    (item,) = found(a__tif=encoded(picture()), a_mask__tif=encoded(blob()))
    assert np.array_equal(item.frame, picture())
    assert np.array_equal(item.mask, blob() > 0)
    assert (item.name, item.patient, item.remark, item.files) == ("9_1", None, "", ("a.tif", "a_mask.tif"))


def test_several_masks_of_one_frame_are_united_and_that_is_remarked(found):
    other = np.roll(blob(), 20, axis=1)
    (item,) = found(a__tif=encoded(picture()), a_mask__png=encoded(blob(), "PNG"), a_mask_1__png=encoded(other, "PNG"))
    assert np.array_equal(item.mask, (blob() > 0) | (other > 0))
    assert item.remark == "union of 2 masks"


def test_of_several_masks_the_one_at_fault_is_named(found):
    most = np.full_like(blob(), 255)
    items = found(a__tif=encoded(picture()), a_mask__tif=encoded(blob()), a_mask_1__tif=encoded(most))
    reasons = {item.file: item.reason for item in items}
    assert reasons["a_mask_1.tif"].startswith("it covers 100% of the frame")
    assert reasons["a.tif"] == reasons["a_mask.tif"] == "its partner a_mask_1.tif cannot be used"


def test_a_map_of_probabilities_is_cut_and_no_cause_is_made_up_for_its_levels(found):
    (item,) = found(a__tif=encoded(picture()), a_mask__png=encoded(cv2.GaussianBlur(blob(), (9, 9), 0), "PNG"))
    assert item.remark == "shades between 0 and the greatest value, cut in the middle"


def test_a_mask_that_lossy_compression_spread_is_cut_and_that_is_remarked(found):
    (item,) = found(a__tif=encoded(picture()), a_mask__jpg=encoded(blob(), "JPEG", quality=50))
    assert item.mask.sum() == pytest.approx((blob() > 0).sum(), abs=8)
    assert "cut in the middle" in item.remark


@pytest.mark.parametrize("masks", [{"loop_mask__tif": paged(list(BLOBS))}, {"loop_mask__dcm": dicom(BLOBS)}])
def test_a_loop_gives_a_frame_for_each_of_its_pages(found, masks):
    items = found(loop__dcm=dicom(LOOP), **masks)
    assert [item.name for item in items] == ["9_1_1", "9_1_2", "9_1_3"]
    for item, frame, mask in zip(items, LOOP, BLOBS, strict=True):
        assert np.array_equal(item.frame, frame)
        assert np.array_equal(item.mask, mask > 0)


def test_a_bad_frame_of_a_loop_is_quarantined_and_the_others_are_used(found):
    frames = LOOP.copy()
    frames[1] = 0
    items = found(loop__dcm=dicom(frames), loop_mask__tif=paged(list(BLOBS)))
    assert [item.name for item in items if isinstance(item, AnnotatedFrame)] == ["9_1_1", "9_1_3"]
    bad = [item for item in items if isinstance(item, Refused)]
    assert [item.file for item in bad] == ["loop.dcm, frame 2", "loop_mask.tif, frame 2"]


def test_a_bad_mask_takes_its_frame_along_and_both_are_named(found):
    items = found(a__tif=encoded(picture()), a_mask__tif=b"")
    assert [(item.file, item.reason) for item in items] == [
        ("a.tif", "its partner a_mask.tif cannot be used"),
        ("a_mask.tif", "the file is empty"),
    ]


def test_files_of_one_patient_have_one_subject_and_nothing_of_the_patient_shows(found):
    first, other = found(a__dcm=dicom(LOOP[:1]), a_mask__tif=encoded(blob())), None
    second = found(b__dcm=dicom(LOOP[1:2]), b_mask__tif=encoded(blob()))
    other = found(c__dcm=dicom(LOOP[2:], patient="MRN-4712"), c_mask__tif=encoded(blob()))
    assert first[0].patient == second[0].patient != other[0].patient
    told = repr((first, second, other))
    for secret in ("4711", "DOE", "JANE", "1970"):
        assert secret not in told


def test_another_salt_gives_another_subject(found):
    files = {"a__dcm": dicom(LOOP[:1]), "a_mask__tif": encoded(blob())}
    assert found(**files)[0].patient != found(salt=b"pepper", **files)[0].patient


def test_a_patient_is_one_subject_however_the_name_is_spelled_and_whoever_left_the_birthday_out(found):
    spelled = [
        found(a__dcm=dicom(LOOP[:1], **said), a_mask__tif=encoded(blob()))[0].patient.subject
        for said in ({}, {"name": "Doe^Jane"}, {"PatientBirthDate": ""}, {"patient": " mrn-4711"})
    ]
    assert len(set(spelled)) == 1
    without_number = [
        found(a__dcm=dicom(LOOP[:1], patient="", name=name), a_mask__tif=encoded(blob()))[0].patient.subject
        for name in ("DOE^JANE", "Doe^Jane", "ROE^JANE")
    ]
    assert without_number[0] == without_number[1] != without_number[2]


def test_reports_call_a_file_by_a_digest_where_names_are_kept(tmp_path):
    (tmp_path / "Doe_4.dcm").write_bytes(dicom(LOOP[:1]))
    (tmp_path / "Doe_4_mask.tif").write_bytes(encoded(blob()))
    source = Source("Doe_4", tmp_path / "Doe_4.dcm", (tmp_path / "Doe_4_mask.tif",))
    (good,) = load(source, Reading(tmp_path, (), b"salt", Names(b"salt")))
    assert "doe" not in repr(good).lower()
    (tmp_path / "Doe_4_mask.tif").write_bytes(encoded(blob()[:20]))
    bad = list(load(source, Reading(tmp_path, (), b"salt", Names(b"salt"))))
    assert len(bad) == 2
    assert "doe" not in repr(bad).lower()
    assert [item.file[-4:] for item in bad] == [".dcm", ".tif"]


def test_eight_bits_in_sixteen_keep_their_levels_and_that_is_remarked(found):
    files = {"a__dcm": dicom(LOOP[:1].astype(np.uint16)), "a_mask__tif": encoded(blob())}
    (item,) = found(**files, grey_range=GreyRange((0.0, 255.0)))
    assert np.array_equal(item.frame, LOOP[0])
    assert item.remark == "whole numbers, taken as 8 bits: black at 0, white at 255"


def test_text_burned_into_the_pixels_is_remarked(found):
    (item,) = found(a__dcm=dicom(LOOP[:1], BurnedInAnnotation="YES"), a_mask__tif=encoded(blob()))
    assert "text is burned into its pixels" in item.remark


def test_the_digests_follow_frame_and_mask(found):
    def digests(frame, mask):
        return found(a__tif=encoded(frame), a_mask__tif=encoded(mask))[0].digests()

    first = digests(picture(), blob())
    assert digests(picture(), blob()) == first
    assert digests(picture(), np.roll(blob(), 1, axis=0))[0] == first[0]
    assert digests(picture(), np.roll(blob(), 1, axis=0))[1] != first[1]
    assert digests(picture(1), blob())[0] != first[0]


def test_reading_leaves_the_originals_untouched(found, tmp_path):
    found(a__tif=encoded(picture()), a_mask__tif=encoded(blob()))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    list(load(Source("a", tmp_path / "a.tif", (tmp_path / "a_mask.tif",)), Reading(tmp_path, (), b"")))
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}


@pytest.mark.parametrize("white", [1, 128, 255])
def test_a_frame_that_is_a_copy_of_its_mask_is_refused(found, white):
    items = found(a__tif=encoded(blob(value=white)), a_mask__tif=encoded(blob()))
    assert items[0].reason == "the frame is a copy of its mask"


@pytest.mark.parametrize("labels", [(), (1,), (255,)])
@pytest.mark.parametrize("kind", ["grey", "JPEG", "colour", "clear"])
def test_a_mask_that_is_the_frame_cut_out_is_refused(found, kind, labels):
    area = big(blob())
    frame = np.random.default_rng(0).integers(40, 250, area.shape).astype(np.uint8)
    cut = np.where(area, frame, 0).astype(np.uint8)
    channels = {"grey": [cut], "JPEG": [cut], "colour": [cut] * 3, "clear": [frame, frame, frame, area]}[kind]
    mask = encoded(np.dstack(channels).squeeze(), "JPEG" if kind == "JPEG" else "PNG")
    items = found(a__tif=encoded(frame), **{f"a_mask__{'jpg' if kind == 'JPEG' else 'png'}": mask}, labels=labels)
    assert all(isinstance(item, Refused) for item in items)
    if not labels:
        assert items[1].reason == "it shows the frame itself, cut out"


def test_a_dark_frame_without_a_nerve_is_no_copy_of_its_mask(found):
    (item,) = found(a__tif=encoded(picture() // 4), a_mask__tif=encoded(blob(value=0)))
    assert (item.mask.sum(), item.remark) == (0, "")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("pixels", [0, 1, 2])
def test_a_mask_with_hardly_any_grey_levels_is_compared_with_its_frame_without_a_warning(found, pixels):
    """As black that was drawn on a clear layer: the drawing is in the alpha channel alone."""
    layer = np.dstack([np.zeros_like(big(blob()))] * 3 + [big(blob())])
    layer[0, :pixels, :3] = 200
    items = found(a__tif=encoded(picture(size=layer.shape[:2])), a_mask__png=encoded(layer, "PNG"))
    assert "shows the frame itself" not in "".join(item.reason for item in items if isinstance(item, Refused))


@pytest.mark.parametrize("width", [0, 1, 2])
def test_a_mask_that_is_only_an_outline_is_remarked(found, width):
    area = big(blob())
    hollow = area - cv2.erode(area, np.ones((3, 3), np.uint8), iterations=width) if width else area
    (item,) = found(a__tif=encoded(picture(size=area.shape)), a_mask__tif=encoded(hollow))
    assert item.remark == ("its mask marks an outline, not the area inside: fill it" if width else "")
