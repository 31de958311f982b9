import numpy as np
import pytest
from PIL import Image

from nerveseg.data.masks import read_masks
from nerveseg.errors import BadFileError
from odd_files import encoded, palette

LABELS = np.array([[0, 1, 2], [3, 0, 2]], np.uint8)
RED, GREEN, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 0)
COLOURS = np.array([[BLACK, RED, GREEN], [RED, BLACK, (9, 9, 9)]], np.uint8)


@pytest.fixture
def nerve(tmp_path):
    def read(content, *labels, name="m.png"):
        (tmp_path / name).write_bytes(content)
        (mask,), _ = read_masks(tmp_path / name, labels)
        return mask.tolist()

    return read


@pytest.mark.parametrize(
    ("labels", "expected"),
    [((), LABELS > 0), ((2,), LABELS == 2), ((1, 3), (LABELS == 1) | (LABELS == 3)), ((9,), LABELS == 9)],
)
@pytest.mark.parametrize("kind", ["grey", "palette", "wide"])
def test_numbers_say_which_labels_are_nerve(nerve, labels, expected, kind):
    colours = [BLACK, RED, GREEN, (0, 0, 255)]
    content = {
        "grey": encoded(LABELS, "PNG"),
        "palette": palette(LABELS, colours),
        "wide": encoded(LABELS.astype(np.uint16), "PNG"),
    }[kind]
    assert nerve(content, *labels) == expected.tolist()


@pytest.mark.parametrize("kind", ["RGB", "palette"])
def test_colours_say_which_labels_are_nerve(nerve, kind):
    image = Image.fromarray(COLOURS)
    content = encoded(image if kind == "RGB" else image.quantize(4), "PNG")
    assert nerve(content, "#ff0000") == [[False, True, False], [True, False, False]]
    assert nerve(content, "#ff0000", "#00ff00") == [[False, True, True], [True, False, False]]
    assert nerve(content) == [[False, True, True], [True, False, True]]


def test_what_is_transparent_is_no_nerve(nerve):
    rgba = np.dstack([COLOURS, np.array([[255, 0, 255], [255, 255, 0]], np.uint8)])
    assert nerve(encoded(rgba, "PNG")) == [[False, False, True], [True, False, False]]


def test_numbers_for_a_mask_in_colours_say_which_colours_there_are(nerve):
    with pytest.raises(BadFileError, match=r"labels as colours \(#000000, #00ff00, #090909, #ff0000\).*number 2"):
        nerve(encoded(COLOURS, "PNG"), 2)


def test_labels_that_are_named_win_over_their_number(nerve):
    organs = np.arange(40, dtype=np.uint8).reshape(5, 8)
    assert nerve(encoded(organs, "PNG"), 5) == (organs == 5).tolist()


def test_a_mask_of_one_bit_holds_one(nerve):
    content = encoded(Image.fromarray((LABELS > 0).astype(np.uint8) * 255).convert("1"), "PNG")
    assert nerve(content) == nerve(content, 1) == (LABELS > 0).tolist()


def test_colours_cannot_be_told_apart_after_lossy_compression(nerve):
    with pytest.raises(BadFileError, match="colours after lossy compression"):
        nerve(encoded(np.kron(COLOURS, np.ones((9, 9, 1), np.uint8)), "JPEG"), "#ff0000", name="m.jpg")


def test_a_label_beside_one_to_ignore_is_no_trace_of_compression(nerve):
    trimap = np.zeros((20, 20), np.uint8)
    trimap[5:9, 5:9], trimap[9, 5:9] = 1, 255
    assert np.sum(nerve(encoded(trimap, "PNG"))) == 20


def test_labels_cannot_be_told_apart_after_lossy_compression(nerve):
    soft = encoded(np.kron(LABELS, np.full((9, 9), 80, np.uint8)), "JPEG", quality=40)
    with pytest.raises(BadFileError, match="which are no labels"):
        nerve(soft, 2, name="m.jpg")
