from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from scipy.ndimage import gaussian_filter

from nerveseg.dataset.records import Record
from nerveseg.params.file import load_params
from nerveseg.reporting.figures import pictures, plots
from nerveseg.reporting.figures.canvas import GREY, LOOKS, TRUTH, canvas
from nerveseg.reporting.figures.layers import AGREEMENT, agreement
from nerveseg.reporting.figures.previews import degradation_gallery
from nerveseg.reporting.figures.reliability import trust
from paths import ROOT
from score_tables import scores_of

DPI = 100
STRENGTHS = load_params(ROOT / "params.yaml").degradation


def ellipse(shape, centre, radii):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 <= 1


def case(shape=(184, 256), *, truth=True, predicted=True, name="3_45"):
    height, width = shape
    noise = gaussian_filter(np.random.default_rng(7).normal(size=shape), (1, 2))
    frame = np.clip(90 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)
    empty = np.zeros(shape, bool)
    nerve = ellipse(shape, (height * 0.5, width * 0.5), (height * 0.15, width * 0.15))
    guess = ellipse(shape, (height * 0.5, width * 0.58), (height * 0.15, width * 0.15))
    masks = {"unet": guess if predicted else empty, "exported": nerve if predicted else empty}
    probabilities = {model: gaussian_filter(mask.astype(np.float32), 3) for model, mask in masks.items()}
    unsure = gaussian_filter((nerve ^ guess).astype(np.float32), 3)
    truth = nerve if truth else empty
    return pictures.Case(
        name=name, subject="3", frame=frame, truth=truth, masks=masks, dice={"unet": 0.71, "exported": 1.0},
        probabilities=probabilities, mirrored=probabilities["unet"], uncertainty=unsure,
    )  # fmt: skip


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(float) / 255


def is_colour(image, colour, tolerance=0.12):
    return np.abs(image - to_rgb(colour)).max(axis=-1) < tolerance


CURVES = (
    pd.DataFrame(
        {"epoch": [1, 2], "lr": 1e-3, "loss": [1.0, 0.5], "val_loss": 0.7, "dice": 0.6, "val_dice": [0.5, 0.4]}
    ),
    pd.DataFrame(
        {
            "epoch": [0, 1],
            **{f"{arm}_segmentation_loss": [np.nan, 0.4] for arm in ("control", "adversarial")},
            **{f"{arm}_val_dice": 0.5 for arm in ("control", "adversarial")},
            **{f"{arm}_val_dice_degraded": 0.4 for arm in ("control", "adversarial")},
            "adversarial_loss": [np.nan, 0.7],
            "critic_loss": [np.nan, 0.6],
            "critic_accuracy": [np.nan, 0.6],
        }
    ),
)
ROBUSTNESS = pd.DataFrame(
    [("clean", 0, model, 0.8, 9.0) for model in LOOKS]
    + [(kind, severity, model, 0.7, 12.0) for kind in ("blur", "all") for severity in (1, 3) for model in LOOKS],
    columns=["degradation", "severity", "model", "dice_nerve", "hd95_common"],
)
CASES = pd.DataFrame(
    [
        (f"{s}_{n}", s, model, n > 1, 0.1 * n, 900 * n, n / 9, 0.05 * n)
        for s in (1, 2)
        for n in range(1, 8)
        for model in LOOKS
    ],
    columns=["frame", "subject", "model", "has_nerve", "dice", "truth_area", "presence", "confidence"],
)
THRESHOLDS = pd.DataFrame(
    [(model, t, 0.8, 0.7, t, 1 - t) for model in LOOKS for t in (0.3, 0.5)],
    columns=["model", "threshold", "dice", "dice_nerve", "precision", "recall"],
)
RELIABILITY = pd.DataFrame(
    [(model, p, p**2, round(10 ** (6 - 5 * p))) for model in LOOKS for p in (0.01, 0.3, 0.9)],
    columns=["model", "probability", "nerve", "pixels"],
)
LEVEL = {"dice": 0.8, "dice_nerve": 0.7, "precision": 0.4, "recall": 0.6, "hd95_common": 98.0}
BASELINE = scores_of({"baseline_mean_mask": LEVEL})
CHARTS = {
    "training_curves": (plots.training_curves, CURVES),
    "robustness": (plots.robustness, (ROBUSTNESS, BASELINE)),
    "dice_distribution": (plots.dice_distribution, (CASES,)),
    "threshold_curves": (plots.threshold_curves, (THRESHOLDS, BASELINE)),
    "trust": (trust, (CASES, RELIABILITY, THRESHOLDS)),
}
PICTURES = {
    "comparison": pictures.comparison,
    "overlays": pictures.overlays,
    "heatmaps": pictures.heatmaps,
    "uncertainties": pictures.uncertainties,
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_written_twice_is_equal_to_the_bit_and_carries_no_metadata(name, tmp_path):
    draw, tables = CHARTS[name]
    for attempt in ("first.png", "second.png"):
        draw(*tables, tmp_path / attempt, DPI)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    assert set(Image.open(tmp_path / "first.png").info) <= {"dpi"}
    assert {entry.name for entry in tmp_path.iterdir()} == {"first.png", "second.png"}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_written_twice_is_equal_to_the_bit(name, tmp_path):
    for attempt in ("first.png", "second.png"):
        PICTURES[name]([case()], tmp_path / attempt, DPI)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


def test_a_chart_does_not_depend_on_the_settings_of_its_reader(tmp_path):
    plots.threshold_curves(THRESHOLDS, BASELINE, tmp_path / "plain.png", DPI)
    with mpl.rc_context({"font.size": 31, "axes.facecolor": "red"}):
        plots.threshold_curves(THRESHOLDS, BASELINE, tmp_path / "odd.png", DPI)
        assert mpl.rcParams["font.size"] == 31
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "odd.png").read_bytes()


def test_a_png_has_its_inches_times_dpi_pixels(tmp_path):
    for dpi in (50, 120):
        plots.threshold_curves(THRESHOLDS, BASELINE, tmp_path / "chart.png", dpi)
        assert Image.open(tmp_path / "chart.png").size == (9.0 * dpi, 6.2 * dpi)


def test_a_picture_beyond_what_memory_holds_is_written_at_a_lower_dpi(tmp_path, monkeypatch):
    monkeypatch.setattr("nerveseg.reporting.figures.canvas.LARGEST", 50_000)
    plots.threshold_curves(THRESHOLDS, BASELINE, tmp_path / "chart.png", 600)
    width, height = Image.open(tmp_path / "chart.png").size
    assert 45_000 < width * height <= 50_000
    assert width / height == pytest.approx(9.0 / 6.2, rel=0.02)


def test_a_figure_that_fails_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "chart.png"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), canvas(path, 2, 2, DPI):
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("training_curves", "control_val_dice"),
        ("robustness", "severity"),
        ("dice_distribution", "truth_area"),
        ("threshold_curves", "recall"),
        ("trust", "presence"),
    ],
)
def test_a_missing_column_is_named_with_those_that_are_there(name, column, tmp_path):
    draw, tables = CHARTS[name]
    without = [table.drop(columns=column, errors="ignore") if table is not BASELINE else table for table in tables]
    with pytest.raises(ValueError, match=rf"misses {column}; it has .*") as caught:
        draw(*without, tmp_path / "chart.png", DPI)
    assert str(tables[0].columns[0]) in str(caught.value)
    assert not (tmp_path / "chart.png").exists()


def test_the_average_train_mask_is_a_level_line_where_its_score_is_defined(tmp_path):
    nothing = scores_of({"baseline_mean_mask": dict.fromkeys(LEVEL)})
    for name, metrics in (("with.png", BASELINE), ("without.png", nothing)):
        plots.threshold_curves(THRESHOLDS, metrics, tmp_path / name, DPI)
    grey = [is_colour(pixels(tmp_path / name), GREY).sum() for name in ("with.png", "without.png")]
    assert grey[0] > grey[1] + 500


def test_a_baseline_far_off_is_given_in_words_and_does_not_squash_the_curves(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots.Axes, "text", lambda self, x, y, told, **_: drawn.append((self.get_ylim(), told)))
    plots.robustness(ROBUSTNESS, BASELINE, tmp_path / "chart.png", DPI)
    assert [told for _, told in drawn] == ["average train mask: 98.0 ↑"] * 2
    assert all(high < 20 for (_, high), _ in drawn)


def test_a_case_says_why_it_is_shown(tmp_path):
    assert replace(case(), rank="worst").title == "Worst · 3_45 · subject 3"
    assert case().title == "3_45 · subject 3"
    assert replace(case(), rank="JPEG 3").title == "JPEG 3 · 3_45 · subject 3"


def test_a_picture_shows_of_each_case_the_models_that_it_has(tmp_path):
    pictures.overlays([case().only("unet"), case().only("exported")], tmp_path / "both.png", DPI, columns=2)
    image = pixels(tmp_path / "both.png")[40:-40]  # without the legend
    left, right = np.array_split(image, 2, axis=1)
    for half, there, absent in ((left, "unet", "exported"), (right, "exported", "unet")):
        assert is_colour(half, LOOKS[there].on_frame).sum() > 100
        assert is_colour(half, LOOKS[absent].on_frame).sum() == 0


def test_uncertainty_is_painted_where_it_is(tmp_path):
    unsure = case()
    pictures.uncertainties([replace(unsure, frame=np.zeros_like(unsure.frame))], tmp_path / "unsure.png", DPI)
    pictures.uncertainties(
        [replace(unsure, frame=np.zeros_like(unsure.frame), uncertainty=np.zeros(unsure.frame.shape, np.float32))],
        tmp_path / "sure.png", DPI,
    )  # fmt: skip
    last = slice(int(8.2 * DPI), int(10.8 * DPI))
    painted = [(pixels(tmp_path / name)[60:-60, last].max(axis=-1) > 0.3).mean() for name in ("unsure.png", "sure.png")]
    assert painted[0] > painted[1] + 0.005


def test_a_table_without_rows_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the threshold table has no row"):
        plots.threshold_curves(THRESHOLDS[:0], BASELINE, tmp_path / "chart.png", DPI)


def test_every_line_of_robustness_begins_at_the_clean_frames(tmp_path):
    plots.robustness(ROBUSTNESS, BASELINE, tmp_path / "with.png", DPI)
    plots.robustness(ROBUSTNESS.query("severity > 0"), BASELINE, tmp_path / "without.png", DPI)
    drawn = [is_colour(pixels(tmp_path / name), LOOKS["unet"].on_white).sum() for name in ("with.png", "without.png")]
    assert drawn[0] > 1.2 * drawn[1]
    with pytest.raises(ValueError, match="no degraded frames"):
        plots.robustness(ROBUSTNESS.query("severity == 0"), BASELINE, tmp_path / "none.png", DPI)


def test_without_frames_of_both_kinds_there_is_no_roc_curve_and_the_other_panels_are_drawn(tmp_path):
    for name, cases in (("with.png", CASES), ("without.png", CASES.assign(has_nerve=True))):
        trust(cases, RELIABILITY, THRESHOLDS, tmp_path / name, DPI)
    drawn = [is_colour(pixels(tmp_path / name), LOOKS["unet"].on_white) for name in ("with.png", "without.png")]
    quarters = [[half for row in np.array_split(each, 2) for half in np.array_split(row, 2, axis=1)] for each in drawn]
    assert quarters[0][1].sum() > 0
    assert quarters[1][1].sum() == 0
    for panel in (0, 2, 3):
        assert quarters[1][panel].sum() > 50


def test_the_gallery_shows_a_frame_in_every_way_at_every_severity(tmp_path):
    nerve = case((96, 128))
    record = Record("3_45", "3", nerve.frame, 255 * nerve.truth.astype(np.uint8), nerve.truth, nerve.frame)
    degradation_gallery(record, STRENGTHS, 0, tmp_path / "gallery.png", 60)
    width, height = Image.open(tmp_path / "gallery.png").size
    assert height > width, "eight rows of six frames"
    assert is_colour(pixels(tmp_path / "gallery.png"), TRUTH).sum() > 1000


def test_frames_that_all_lack_a_nerve_are_said_in_words(tmp_path):
    plots.dice_distribution(CASES.assign(has_nerve=False), tmp_path / "chart.png", DPI)
    assert (pixels(tmp_path / "chart.png") < 0.5).any()


def test_the_overlay_has_the_colour_of_the_truth_along_its_outline(tmp_path):
    nerve = case(predicted=False)
    pictures.montage([nerve.frame], [nerve.truth], ["frame"], 1, tmp_path / "montage.png", DPI)
    yellow = is_colour(pixels(tmp_path / "montage.png"), TRUTH)
    rows, columns = np.nonzero(yellow)
    # The cell is 10 inches wide and starts 0.1 inch from the left.
    scale = 10 * DPI / nerve.truth.shape[1]
    expected = np.nonzero(nerve.truth.any(axis=0))[0]
    assert columns.min() == pytest.approx(0.1 * DPI + expected.min() * scale, abs=3)
    assert columns.max() == pytest.approx(0.1 * DPI + (expected.max() + 1) * scale, abs=3)
    middle = yellow[(rows.min() + rows.max()) // 2]
    assert not middle[(columns.min() + columns.max()) // 2], "the outline must not be filled"


def test_overlays_show_annotation_and_both_models(tmp_path):
    pictures.overlays([case()], tmp_path / "overlays.png", DPI)
    image = pixels(tmp_path / "overlays.png")
    for colour in (TRUTH, LOOKS["unet"].on_frame, LOOKS["exported"].on_frame):
        assert is_colour(image, colour).sum() > 100


def test_agreement_counts_true_and_false_positives_and_negatives():
    nerve = case()
    truth, predicted = nerve.truth, nerve.masks["unet"]
    codes = np.bincount(agreement(truth, predicted).ravel(), minlength=4)
    expected = [
        (~truth & ~predicted).sum(),
        (truth & ~predicted).sum(),
        (~truth & predicted).sum(),
        (truth & predicted).sum(),
    ]
    assert codes.tolist() == expected


def test_the_painted_agreement_covers_the_counted_areas(tmp_path):
    nerve = case()
    truth, predicted = nerve.truth, nerve.masks["unet"]
    masks = {"unet": truth, "exported": predicted}
    black = replace(nerve, frame=np.zeros_like(nerve.frame), masks=masks)
    pictures.comparison([black], tmp_path / "comparison.png", 300)
    image = pixels(tmp_path / "comparison.png")
    image = image[: int(image.shape[0] - 0.36 * 300), image.shape[1] * 4 // 5 :]  # the last column, above the legend
    per_pixel = (2.15 * 300 / truth.shape[1]) ** 2
    for code, (_, colour) in AGREEMENT.items():
        painted = is_colour(image, 0.8 * np.array(to_rgb(colour)), tolerance=0.06).sum()
        counted = (agreement(truth, predicted) == code).sum()
        assert painted == pytest.approx(counted * per_pixel, rel=0.08)


def test_the_heat_is_clear_at_zero_and_strong_at_one(tmp_path):
    def saturation(values):
        quiet = case(truth=False, predicted=False)
        maps = {model: np.full(quiet.frame.shape, values, np.float32) for model in LOOKS}
        flat = replace(quiet, probabilities=maps)
        pictures.heatmaps([flat], tmp_path / "heat.png", DPI)
        image = pixels(tmp_path / "heat.png")
        cell = image[image.shape[0] // 2, int(3.3 * DPI) : int(5.8 * DPI)]
        return (cell.max(axis=-1) - cell.min(axis=-1)).mean()

    assert saturation(0.0) == 0.0
    assert saturation(1.0) > 0.4


@pytest.mark.parametrize("name", PICTURES)
def test_cases_of_any_size_and_without_a_nerve_share_a_picture(name, tmp_path):
    cases = [case((420, 580)), case(truth=False), case((580, 420), predicted=False), case(truth=False, predicted=False)]
    PICTURES[name](cases, tmp_path / "picture.png", 50)
    assert Image.open(tmp_path / "picture.png").height > 200


def test_a_picture_grows_by_the_same_height_with_each_case(tmp_path):
    heights = []
    for count in (1, 2, 3):
        pictures.comparison([case()] * count, tmp_path / "picture.png", DPI)
        heights.append(Image.open(tmp_path / "picture.png").height)
    assert heights[2] - heights[1] == pytest.approx(heights[1] - heights[0], abs=1)


def test_a_long_frame_name_does_not_leave_its_cell(tmp_path):
    pictures.overlays([case(name="W" * 400)] * 2, tmp_path / "long.png", DPI)
    image = pixels(tmp_path / "long.png")
    gap = image[5 : int(0.3 * DPI), int(3.4 * DPI) + 1 : int(3.5 * DPI) - 1]
    assert (gap == 1.0).all()


def test_the_comparison_gives_subject_and_area_in_full_for_subjects_of_six_characters(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(Figure, "text", lambda self, x, y, text, **_: written.append(text))
    nerve = replace(case(), subject="CASE-1")
    nerve.truth[:] = np.arange(nerve.truth.size).reshape(nerve.truth.shape) % 8 == 0
    pictures.comparison([nerve], tmp_path / "comparison.png", DPI)
    assert "subject CASE-1 · area 12.5 %" in written


def test_a_case_whose_layers_differ_in_shape_is_refused():
    nerve = case()
    masks = {"unet": nerve.truth, "exported": np.zeros((2, 2), bool)}
    with pytest.raises(ValueError, match=r"case 1_1: the mask of exported has shape \(2, 2\), its frame \(184, 256\)"):
        replace(nerve, name="1_1", masks=masks)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_without_cases_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="at least one case"):
        PICTURES[name]([], tmp_path / "picture.png", DPI)
