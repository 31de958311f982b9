import io
import struct
import zlib
from itertools import pairwise

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from nerveseg.errors import BadFileError
from nerveseg.imaging.mask_files import read_masks
from odd_files import blob, encoded, palette

LABELS = np.array([[0, 1, 2], [3, 0, 2]], np.uint8)
RED, GREEN, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 0)
COLOURS = np.array([[BLACK, RED, GREEN], [RED, BLACK, (9, 9, 9)]], np.uint8)


@pytest.fixture
def nerve(tmp_path):
    def read(content, *labels, name="m.png"):
        (tmp_path / name).write_bytes(content)
        (found,) = read_masks(tmp_path / name, labels)
        return found.mask.tolist()

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
    rgba = np.dstack([COLOURS, np.array([[0, 0, 255], [255, 0, 0]], np.uint8)])
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


SHAPE = (24, 40)
WITHOUT_FIXTURES_ANEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def grey_png(values, bits, transparent=None, colours=b""):
    """A PNG of grey levels with 1, 2, 4, 8 or 16 bits, or of a palette, by hand: Pillow writes no grey of 2 or 4."""
    height, width = values.shape
    each = (values[..., np.newaxis] >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(each.reshape(height, -1).astype(np.uint8), axis=1)
    header = struct.pack(">IIBBBBB", width, height, bits, 3 * bool(colours), 0, 0, 0)
    key = chunk(b"PLTE", colours) if colours else b""
    key += b"" if transparent is None else chunk(b"tRNS", struct.pack(">H", transparent))
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + key + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def grey_tiff(values, bits):
    """A TIFF of grey levels with 2 or 4 bits, black is zero."""
    height, width = values.shape
    each = (values[..., np.newaxis] >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(each.reshape(height, -1).astype(np.uint8), axis=1).tobytes()
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1),
            (278, 4, height), (279, 4, len(rows))]  # fmt: skip
    directory = struct.pack("<H", len(tags)) + b"".join(
        struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", value) for tag, kind, value in tags
    )
    return b"II*\0" + struct.pack("<I", 8 + len(rows)) + rows + directory + b"\0" * 4


def of_tifffile(pixels, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def areas(tmp_path, content, *labels, name="m.png"):
    (tmp_path / name).write_bytes(content)
    (found,) = read_masks(tmp_path / name, labels)
    return found.areas


@WITHOUT_FIXTURES_ANEW
@given(bits=st.sampled_from([1, 2, 4, 8, 16]), seed=st.integers(0, 99), kind=st.sampled_from(["png", "tif"]))
def test_labels_are_the_numbers_that_the_file_stores_however_few_bits_it_has(nerve, bits, seed, kind):
    """Image programs show grey levels of 2 bits as 0, 85, 170 and 255."""
    stored = np.random.default_rng(seed).integers(0, min(2**bits, 6), SHAPE)
    if kind == "tif" and bits in (2, 4):
        content = grey_tiff(stored, bits)
    elif kind == "tif" and bits > 4:
        content = of_tifffile(stored.astype(f"uint{bits}"), photometric="minisblack")
    else:
        content = grey_png(stored, bits)
    for label in np.unique(stored[stored > 0]):
        assert nerve(content, int(label), name=f"m.{kind}") == (stored == label).tolist()


@pytest.mark.parametrize("colours", [2, 16, 256])
def test_labels_of_a_bitmap_are_the_numbers_of_its_palette(nerve, colours):
    stored = np.arange(20, dtype=np.uint8).reshape(4, 5) % min(colours, 4)
    image = Image.fromarray(stored, "P")
    image.putpalette([channel for i in range(colours) for channel in (i, 255 - i, i)])
    assert nerve(encoded(image, "BMP"), 1, name="m.bmp") == (stored == 1).tolist()


def black_layer(opacity=255):
    """Black everywhere, opaque on the nerve."""
    return np.dstack([np.zeros((*blob().shape, 3), np.uint8), blob(value=opacity)])


LAYERS = {
    "RGBA": encoded(black_layer(), "PNG"),
    "half opaque": encoded(black_layer(128), "PNG"),
    "grey and alpha": encoded(black_layer()[..., 2:], "PNG"),
    "white under alpha": encoded(np.dstack([np.full((*blob().shape, 3), 255, np.uint8), blob()]), "PNG"),
    "TIFF with alpha": of_tifffile(black_layer(), photometric="rgb", extrasamples=["unassalpha"]),
    "TIFF with premultiplied alpha": of_tifffile(black_layer(), photometric="rgb", extrasamples=["assocalpha"]),
    "grey TIFF with alpha": of_tifffile(
        black_layer()[..., 2:], photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]
    ),
    "grey TIFF with premultiplied alpha": of_tifffile(
        black_layer()[..., 2:], photometric="minisblack", planarconfig="contig", extrasamples=["assocalpha"]
    ),
    "one transparent grey level": grey_png(255 - blob().astype(int), 8, transparent=255),
    "one transparent grey level of 2 bits": grey_png(3 - blob(value=3).astype(int), 2, transparent=3),
    "a transparent palette entry": encoded(
        Image.open(io.BytesIO(palette(blob(value=1), [BLACK] * 2))), "PNG", transparency=0
    ),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_one_colour_on_a_transparent_layer_is_the_mask(tmp_path, kind):
    path = tmp_path / ("m.tif" if "TIFF" in kind else "m.png")
    path.write_bytes(LAYERS[kind])
    (found,) = read_masks(path, ())
    assert np.array_equal(found.mask, blob() > 0)
    assert list(found.areas.values()) == [9 * 16]


def test_a_black_layer_is_remarked_and_a_soft_brush_is_cut_in_the_middle(tmp_path):
    layer = black_layer()
    layer[..., 3] = np.asarray(Image.fromarray(layer[..., 3]).filter(ImageFilter.GaussianBlur(1.5)))
    (tmp_path / "m.png").write_bytes(encoded(layer, "PNG"))
    (found,) = read_masks(tmp_path / "m.png", ())
    assert np.array_equal(found.mask, layer[..., 3] >= 127.5)
    assert "black on a transparent layer, so that its alpha channel is the mask; " in found.remark
    assert "cut in the middle" in found.remark


@pytest.mark.parametrize("alpha", [255, 200])
def test_alpha_that_is_the_same_everywhere_says_nothing(nerve, alpha):
    rgba = np.dstack([blob()] * 3 + [np.full_like(blob(), alpha)])
    assert nerve(encoded(rgba, "PNG")) == (blob() > 0).tolist()


@pytest.mark.parametrize(
    ("tops", "kind"), [((230, 236, 255), np.uint8), ((65521, 65535), np.uint16), ((2900, 4095), np.uint16)]
)
def test_soft_masks_whose_greatest_values_differ_hold_one_value(tmp_path, tops, kind):
    soft = np.asarray(ellipse([255]).filter(ImageFilter.GaussianBlur(3)))
    for top in tops:
        levels = np.round(soft / soft.max() * top).astype(kind)
        assert list(areas(tmp_path, encoded(levels))) == [255]


def test_a_structure_in_one_colour_stays_one_after_smoothing(tmp_path):
    soft = np.asarray(Image.fromarray(blob()).filter(ImageFilter.GaussianBlur(1.2)))
    (tmp_path / "m.png").write_bytes(encoded(np.dstack([soft, 0 * soft, soft // 2]), "PNG"))
    (found,) = read_masks(tmp_path / "m.png", ())
    assert np.array_equal(found.mask, soft >= soft.max() / 2)
    assert "cut in the middle" in found.remark


def test_one_transparent_level_of_one_bit_leaves_the_number_of_the_other(tmp_path):
    content = encoded(Image.fromarray(blob()).convert("1"), "PNG", transparency=0)
    assert areas(tmp_path, content) == {1: 144}


def test_an_empty_layer_is_an_empty_mask(nerve):
    assert not np.any(nerve(encoded(np.zeros((*SHAPE, 4), np.uint8), "PNG")))


def with_alpha(colours, alpha):
    return encoded(np.dstack([colours, alpha]).astype(np.uint8), "PNG")


DRAWN = np.dstack([blob(), blob(value=0), blob(value=0)])
SMALL = np.zeros((48, 80), np.uint8)
SMALL[5:40, 5:60] = 255


@pytest.mark.parametrize(
    ("content", "labels", "told"),
    [
        (with_alpha(DRAWN, blob(value=0)), (), "its colours differ, but all of it is transparent"),
        (with_alpha(DRAWN, SMALL), (), "black may be background or drawn"),
        (encoded(black_layer(), "PNG"), (255,), "only its alpha channel marks anything"),
        (with_alpha(0 * DRAWN, blob() // 2 + SMALL // 2), (), "degrees of opacity"),
        (
            of_tifffile(black_layer(), photometric="rgb", extrasamples=["unspecified"]), (),
            "a further channel that may be the mask",
        ),
        (
            of_tifffile(
                black_layer()[..., 2:], photometric="minisblack", planarconfig="contig", extrasamples=["unspecified"]
            ), (), "a further channel that may be the mask",
        ),
    ],
)  # fmt: skip
def test_alpha_that_may_mean_several_things_is_refused(nerve, content, labels, told):
    with pytest.raises(BadFileError, match=told):
        nerve(content, *labels, name="m.tif" if content[:2] == b"II" else "m.png")


def test_a_canvas_with_transparent_margins_keeps_its_black_background(nerve):
    seen = np.full_like(blob(), 255)
    seen[:, :4] = 0
    assert nerve(with_alpha(DRAWN, seen)) == (blob() > 0).tolist()


def test_labels_of_colours_find_what_is_drawn_in_black(nerve):
    assert nerve(encoded(black_layer(), "PNG"), "#000000") == (blob() > 0).tolist()
    assert nerve(with_alpha(DRAWN, SMALL), "#ff0000") == (blob() > 0).tolist()


@pytest.mark.parametrize("value", [1, 255, 256, 65535])
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_16_bits_keep_their_small_numbers(nerve, value, channels):
    """Pillow keeps the upper 8 bits alone."""
    grey = np.where(blob() > 0, value, 0).astype(np.uint16)
    content = of_tifffile(np.dstack([grey] * 3 + [np.full_like(grey, 65535)] * (channels - 3)), photometric="rgb",
                          **({"extrasamples": ["unassalpha"]} if channels == 4 else {}))  # fmt: skip
    assert nerve(content, name="m.tif") == nerve(content, value, name="m.tif") == (blob() > 0).tolist()


def test_a_palette_entry_beyond_the_palette_is_told(nerve):
    content = grey_png(blob(value=7).astype(int), 4, colours=bytes([*BLACK, *RED]))
    for labels in ((), (7,), ("#ff0000",)):
        with pytest.raises(BadFileError, match="palette entry 7, but its palette has 2 colours"):
            nerve(content, *labels)


def test_each_value_is_counted_also_those_that_are_no_nerve(tmp_path):
    two = blob(value=1)
    two[:4] = 2
    colours = np.array([BLACK, RED, GREEN], np.uint8)[two]
    expected = {1: 144, 2: 320}
    assert areas(tmp_path, encoded(two, "PNG")) == areas(tmp_path, encoded(two, "PNG"), 1) == expected
    assert areas(tmp_path, encoded(colours, "PNG")) == {"#ff0000": 144, "#00ff00": 320}
    assert areas(tmp_path, palette(two, [BLACK, RED, GREEN])) == {"#ff0000": 144, "#00ff00": 320}
    assert areas(tmp_path, encoded(Image.fromarray(blob()).convert("1"), "PNG")) == {1: 144}


def ellipse(levels, size=(120, 160), smooth=0):
    """A mask whose structures have these grey levels, drawn four times as large, so that edges are smooth where asked."""
    scale = 4 if smooth else 1
    image = Image.new("L", (size[1] * scale, size[0] * scale))
    for place, level in enumerate(levels):
        box = [(10 + 45 * place) * scale, 30 * scale, (40 + 45 * place) * scale, 80 * scale]
        ImageDraw.Draw(image).ellipse(box, fill=level)
    return image.resize(size[::-1], [Image.Resampling.NEAREST, Image.Resampling.BOX, Image.Resampling.LANCZOS][smooth])


@WITHOUT_FIXTURES_ANEW
@given(
    smooth=st.integers(0, 2), quality=st.integers(35, 95), subsampling=st.integers(0, 2), top=st.integers(128, 255),
    bits=st.sampled_from([2, 3, 8]), kind=st.sampled_from(["PNG", "JPEG", "colour JPEG"]),
)  # fmt: skip
def test_a_binary_mask_stays_one_after_smoothing_and_lossy_compression(
    tmp_path, smooth, quality, subsampling, top, bits, kind
):
    image = ellipse([top], smooth=smooth)
    if kind == "PNG":
        levels = np.round(np.asarray(image) / top * (2**bits - 1)) * (top / (2**bits - 1))
        content, drawn = encoded(levels.astype(np.uint8), "PNG"), 255 if top >= 240 else top
    else:
        image = image if kind == "JPEG" else Image.merge("RGB", [image, Image.new("L", image.size), image])
        content, drawn = encoded(image, "JPEG", quality=quality, subsampling=subsampling), None
    path = tmp_path / ("m.png" if kind == "PNG" else "m.jpg")
    path.write_bytes(content)
    (found,) = read_masks(path, ())
    truth = np.asarray(ellipse([255], smooth=smooth)) >= 128
    assert 2 * np.sum(found.mask & truth) / (np.sum(found.mask) + np.sum(truth)) > 0.96
    assert len(found.areas) == 1
    if smooth and kind == "PNG" and drawn == 255 and len(np.unique(levels)) > 2:
        assert "cut in the middle" in found.remark
        assert set(found.areas) == {255}


@pytest.mark.parametrize("place", [150, 260])  # inside the larger structure, and at its end
@pytest.mark.parametrize(("level", "radius"), [(64, 8), (127, 5), (127, 15), (200, 8), (200, 15)])
def test_a_small_structure_that_touches_a_larger_one_or_lies_inside_it_is_found_after_lossy_compression(
    tmp_path, place, level, radius
):
    image = Image.new("L", (320, 240))
    drawing = ImageDraw.Draw(image)
    drawing.ellipse((50, 70, 260, 170), fill=255)
    drawing.ellipse((place - radius, 120 - radius, place + radius, 120 + radius), fill=level)
    for quality in (75, 95):
        with pytest.raises(BadFileError, match="which may be of two structures"):
            areas(tmp_path, encoded(image, "JPEG", quality=quality))


@pytest.mark.parametrize("kind", ["grey", "colour"])
@pytest.mark.parametrize("quality", [40, 90])
def test_two_structures_are_no_binary_mask_after_lossy_compression(nerve, kind, quality):
    if kind == "grey":
        image = ellipse([255, 128])
    else:
        red, green = (np.asarray(ellipse(levels)) for levels in ([255, 0], [0, 255]))
        image = Image.fromarray(np.dstack([red, green, 0 * red]))
    with pytest.raises(BadFileError, match=r"which may be of two structures|nor shades of one|which are no labels"):
        nerve(encoded(image, "JPEG", quality=quality), name="m.jpg")


@pytest.mark.parametrize("levels", list(pairwise([60, 128, 190, 255])))
def test_two_grey_levels_with_areas_of_their_own_are_two_values(tmp_path, levels):
    assert set(areas(tmp_path, encoded(ellipse(levels), "PNG"))) == set(levels)


NEARBY = [
    ((128, 0, 0), (128, 64, 0)),  # labels 1 and 17 of Pascal VOC
    ((255, 0, 0), (255, 60, 0)),
    ((255, 0, 0), (254, 1, 0)),
    ((255, 0, 127), (250, 0, 120)),
    ((40, 0, 0), (0, 40, 0)),
    ((1, 0, 0), (0, 1, 0)),
    ((255, 255, 255), (255, 255, 254)),
]


def of_two_colours(one, other, scale=1):
    return np.kron(np.array([BLACK, one, other], np.uint8)[two_structures()], np.ones((scale, scale, 1), np.uint8))


def two_structures():
    labels = blob(value=1)
    labels[:4] = 2
    return labels


@pytest.mark.parametrize("colours", NEARBY)
@pytest.mark.parametrize("kind", ["RGB", "RGBA", "layer", "palette", "BMP", "16 bits"])
def test_structures_in_colours_that_hardly_differ_stay_two_values(tmp_path, colours, kind):
    shown, labels = of_two_colours(*colours), two_structures()
    content = {
        "RGB": lambda: encoded(shown, "PNG"),
        "RGBA": lambda: with_alpha(shown, np.full(labels.shape, 255)),
        "layer": lambda: with_alpha(shown, 255 * (labels > 0)),
        "palette": lambda: palette(labels, [BLACK, *colours]),
        "BMP": lambda: encoded(shown, "BMP"),
        "16 bits": lambda: of_tifffile(shown.astype(np.uint16), photometric="rgb"),
    }[kind]()
    found = areas(tmp_path, content, name="m.tif" if kind == "16 bits" else "m.png")
    assert found == {f"#{bytes(colour).hex()}": pixels for colour, pixels in zip(colours, (144, 320), strict=True)}


@pytest.mark.parametrize("colours", NEARBY[:2])
@pytest.mark.parametrize("kind", ["JPEG", "blurred", "halved"])
def test_structures_in_near_colours_are_never_cut_as_one(tmp_path, colours, kind):
    image = Image.fromarray(of_two_colours(*colours, scale=4))
    if kind == "halved":
        found = areas(tmp_path, encoded(image.resize((150, 91), Image.Resampling.BOX), "PNG"))
        assert {f"#{bytes(colour).hex()}" for colour in colours} <= found.keys()
        return
    content = encoded(image, "JPEG") if kind == "JPEG" else encoded(image.filter(ImageFilter.GaussianBlur(2)), "PNG")
    with pytest.raises(BadFileError, match="colours, which are neither labels nor shades of one"):
        areas(tmp_path, content, name="m.jpg" if kind == "JPEG" else "m.png")


def test_a_small_structure_in_a_near_colour_is_not_cut_as_a_part_of_a_large_one(nerve):
    drawn = np.zeros((420, 580, 3), np.uint8)
    drawn[100:300, 100:400], drawn[20:32, 20:32] = RED, (255, 60, 0)
    for content in (
        encoded(Image.fromarray(drawn).filter(ImageFilter.GaussianBlur(1.5)), "PNG"),
        encoded(drawn, "JPEG"),
    ):
        with pytest.raises(BadFileError, match="colours, which are neither labels nor shades of one"):
            nerve(content)


@pytest.mark.parametrize("colour", [RED, (255, 0, 127), (0, 200, 90)])
@pytest.mark.parametrize("kernel", ["BOX", "BICUBIC", "LANCZOS"])
def test_a_structure_with_smooth_edges_is_one_value_its_own_colour(tmp_path, colour, kernel):
    large = np.kron(np.array([BLACK, colour], np.uint8)[blob(value=1)], np.ones((4, 4, 1), np.uint8))
    image = Image.fromarray(large).resize((70, 41), Image.Resampling[kernel])
    assert list(areas(tmp_path, encoded(image, "PNG"))) == [f"#{bytes(colour).hex()}"]


def test_one_structure_in_each_file_but_in_different_colours_is_two_values_also_after_lossy_compression(tmp_path):
    found = [
        areas(tmp_path, encoded(np.kron(blob()[..., np.newaxis] // 255 * np.array(colour, np.uint8), np.ones((3, 3, 1), np.uint8)), "JPEG"),
              name="m.jpg")
        for colour in (RED, GREEN)
    ]  # fmt: skip
    assert [list(each) for each in found] == [["#ff0000"], ["#00ff00"]]


def test_colours_of_16_bits_that_are_equal_in_8_are_refused(nerve):
    wide = np.array([[0, 0, 0], [300, 0, 0], [310, 0, 0]], np.uint16)[two_structures()]
    with pytest.raises(BadFileError, match="3 colours of 16 bits, some of which are equal in 8"):
        nerve(of_tifffile(wide, photometric="rgb"), name="m.tif")


WHITE = (255, 255, 255)


def test_palette_entries_of_one_colour_are_values_by_their_numbers(tmp_path):
    assert areas(tmp_path, palette(two_structures(), [BLACK, WHITE, WHITE])) == {1: 144, 2: 320}
    assert areas(tmp_path, palette(blob(value=2), [BLACK, WHITE, WHITE])) == {2: 144}, "another file may use the other"
    assert areas(tmp_path, palette(two_structures(), [BLACK, (128,) * 3, WHITE])) == {"#808080": 144, "#ffffff": 320}


def test_palette_entries_of_one_colour_whose_numbers_say_nothing_are_refused(nerve):
    first = palette((two_structures() + 2) % 3, [WHITE, WHITE, BLACK])
    layer = encoded(Image.open(io.BytesIO(palette(two_structures(), [BLACK] * 3))), "PNG", transparency=0)
    for content in (first, layer):
        with pytest.raises(BadFileError, match="several palette entries of one colour"):
            nerve(content)


def test_numbers_are_no_labels_in_a_tiff_that_was_compressed_with_loss(nerve):
    content = of_tifffile(np.kron(blob(), np.ones((4, 4), np.uint8)), compression="jpeg")
    assert np.sum(nerve(content, name="m.tif")) == 144 * 16
    with pytest.raises(BadFileError, match=r"which are no labels; set data\.nerve_labels to \[\]"):
        nerve(content, 255, name="m.tif")


@pytest.mark.parametrize("levels", [(1, 254, 255), (20, 230, 255)])
def test_labels_at_both_ends_of_the_range_are_no_traces_of_compression(tmp_path, nerve, levels):
    labels = two_structures()
    labels[40:44, 40:60] = 3
    content = encoded(np.array([0, *levels], np.uint8)[labels], "PNG")
    assert areas(tmp_path, content) == dict(zip(levels, (144, 320, 80), strict=True))
    assert nerve(content, levels[0]) == (labels == 1).tolist()


@pytest.mark.parametrize("quality", [97, 99])
def test_a_binary_mask_that_was_a_jpeg_before_stays_one(tmp_path, quality):
    content = encoded(Image.open(io.BytesIO(encoded(ellipse([255]), "JPEG", quality=quality))), "PNG")
    assert list(areas(tmp_path, content)) == [255]


def test_a_second_mask_in_a_channel_without_a_name_is_not_left_out_in_silence(nerve):
    two = np.stack([blob(), np.roll(blob(), 9)], axis=-1)
    with pytest.raises(BadFileError, match="a further channel that may be the mask"):
        nerve(of_tifffile(two, photometric="minisblack", planarconfig="contig"), name="m.tif")


def beside(colour, other, radius, mode="L"):
    """A small disc at some distance from a large one, of which it has a hundredth of the area or less."""
    image = Image.new(mode, (320, 240))
    draw = ImageDraw.Draw(image)
    draw.circle((170, 120), 60, other)
    draw.circle((40, 40), radius, colour)
    return image


@pytest.mark.parametrize("quality", [75, 85, 95])
@pytest.mark.parametrize("radius", [4, 5, 6])
@pytest.mark.parametrize("colour", [70, 100, 140, 180, "red", "green", "blue"])
def test_a_structure_however_small_does_not_vanish_in_lossy_compression(nerve, colour, radius, quality):
    mode, large = ("L", 255) if isinstance(colour, int) else ("RGB", "yellow")
    with pytest.raises(BadFileError, match=r"two structures|nor shades of one"):
        nerve(encoded(beside(colour, large, radius, mode), "JPEG", quality=quality), name="m.jpg")


@pytest.mark.parametrize("quality", [75, 85, 95])
@pytest.mark.parametrize("radius", [3, 4, 6])
@pytest.mark.parametrize("colour", [255, "red", "yellow", "magenta"])
def test_a_small_part_of_a_binary_mask_stays_a_part_of_it(nerve, colour, radius, quality):
    image = beside(colour, colour, radius, "L" if colour == 255 else "RGB")
    mask = np.array(nerve(encoded(image, "JPEG", quality=quality), name="m.jpg"))
    assert mask[40, 40]
    assert mask[120, 170]


def test_a_name_is_no_value_of_an_image(tmp_path):
    (tmp_path / "x_mask.png").write_bytes(encoded(blob(value=1), "PNG"))
    with pytest.raises(
        BadFileError, match=r"values without names, but data\.nerve_labels names nerve; add the numbers or colours"
    ):
        read_masks(tmp_path / "x_mask.png", ("nerve",))
    (found,) = read_masks(tmp_path / "x_mask.png", ("nerve", 1))
    assert np.array_equal(found.mask, blob() > 0)
