"""The simulator of B-mode frames: its data set, its anatomy, its acoustics."""

import cv2
import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from nerveseg.errors import DatasetError
from nerveseg.phantom.acoustics import Grid, Scanner, Tissue, echo_envelope
from nerveseg.phantom.display import add_marker, compress
from nerveseg.phantom.nerve import Hand, draw_fascicles, draw_nerve, paint_nerve
from nerveseg.phantom.simulation import Subject, foreign_files, write_phantom
from nerveseg.phantom.tissue import Ellipse, Place, paint_bone, paint_vessel
from tiny_params import phantom_params

SIZE = {"width": 580, "height": 420}


@pytest.fixture(scope="module")
def subjects():
    params = phantom_params(**SIZE)
    drawn = [Subject(2016, number, params) for number in (1, 2, 3)]
    return [(subject, [subject.frame(frame) for frame in range(1, 7)]) for subject in drawn]


@pytest.fixture
def grid():
    return Grid.of(**SIZE)


def scan(tissue, grid, seed=0, **settings):
    return echo_envelope(tissue, grid, Scanner(**settings), np.random.default_rng(seed))


def organ_near(grid, shape):
    lateral, depth = np.broadcast_arrays(grid.lateral, grid.depth)
    return shape.near(Place(grid, np.ascontiguousarray(depth), np.ascontiguousarray(lateral)))


def decibels(envelope):
    return 10.0 * np.log10(np.mean(np.square(envelope)))


# --- the data set


def test_a_frame_is_the_same_to_the_bit_when_made_again():
    params = phantom_params()
    once, again = Subject(7, 2, params).frame(3), Subject(7, 2, params).frame(3)
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))


def test_files_that_are_not_of_the_simulator_are_found_whatever_they_are_called(tmp_path):
    write_phantom(tmp_path, phantom_params(), 7, 1)
    (tmp_path / ".DS_Store").touch()
    assert foreign_files(tmp_path) == foreign_files(tmp_path / "missing") == []
    own = [
        tmp_path / name for name in ("1_99.tif", "1_99_mask.tif", "below/1_1.tif", "below/1_1_mask.tif", "subjects.csv")
    ]
    (tmp_path / "below").mkdir()
    for path in own:
        path.write_bytes(b"mine")
    for name in (".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"theirs")
    assert foreign_files(tmp_path) == sorted(own)


def test_a_frame_does_not_depend_on_the_frames_made_before_it():
    params = phantom_params()
    subject = Subject(7, 2, params)
    backwards = {frame: subject.frame(frame) for frame in (6, 1, 3)}
    for frame, (image, mask) in backwards.items():
        alone = Subject(7, 2, params).frame(frame)
        assert np.array_equal(alone[0], image)
        assert np.array_equal(alone[1], mask)


def test_seeds_subjects_and_frames_all_differ():
    params = phantom_params()
    frames = [Subject(*key[:2], params).frame(key[2])[0] for key in ((7, 1, 1), (8, 1, 1), (7, 2, 1), (7, 1, 2))]
    for i, one in enumerate(frames):
        assert all(np.mean(one != other) > 0.5 for other in frames[i + 1 :])


def test_neighbouring_frames_of_a_subject_are_more_alike_than_those_of_two_subjects():
    params = phantom_params(frames_per_subject=20)
    blurred = {
        key: cv2.GaussianBlur(Subject(7, key[0], params).frame(key[1])[0].astype(np.float32), (0, 0), 3)[60:]
        for key in ((1, 9), (1, 10), (2, 9))
    }
    alike = np.corrcoef(blurred[1, 9].ravel(), blurred[1, 10].ravel())[0, 1]
    unlike = np.corrcoef(blurred[1, 9].ravel(), blurred[2, 9].ravel())[0, 1]
    assert alike > unlike + 0.2


def test_frames_are_eight_bit_and_masks_bool_of_the_size_asked_for():
    for size in ({"width": 97, "height": 65}, {"width": 64, "height": 128}, {"width": 256, "height": 64}):
        params = phantom_params(**size)
        for frame in range(1, 7):
            image, mask = Subject(7, 1, params).frame(frame)
            assert image.dtype == np.uint8
            assert mask.dtype == np.bool_
            assert image.shape == mask.shape == (size["height"], size["width"])


def test_over_half_of_each_subjects_frames_show_no_nerve_and_some_do(subjects):
    for _, frames in subjects:
        shown = sum(mask.any() for _, mask in frames)
        assert 1 <= shown < len(frames) / 2


@pytest.mark.parametrize("fraction", [0.05, 0.42, 0.49])
def test_the_share_of_frames_with_a_nerve_is_the_one_asked_for(fraction):
    params = phantom_params(frames_per_subject=20, width=64, height=64, nerve_fraction=fraction)
    subjects = [Subject(7, number, params) for number in range(1, 41)]
    shown = [sum(subject.shows_nerve(frame) for frame in range(1, 21)) for subject in subjects]
    assert max(shown) < 10
    assert np.mean(shown) / 20 == pytest.approx(fraction, abs=0.04)


def test_a_nerve_mask_is_one_region_inside_the_frame_of_a_plausible_size(subjects):
    for _, frames in subjects:
        for _, mask in frames:
            if mask.any():
                assert ndimage.label(mask)[1] == 1
                assert mask[1:-1, 1:-1].sum() == mask.sum()
                assert 0.008 < mask.mean() < 0.08


def test_the_files_are_in_kaggles_layout_and_the_same_with_any_number_of_workers(tmp_path):
    params = phantom_params(width=96, height=64)
    counts = write_phantom(tmp_path / "one", params, 7, workers=1)
    assert write_phantom(tmp_path / "two", params, 7, workers=2) == counts
    names = {f"{s}_{n}{kind}.tif" for s in (1, 2, 3) for n in range(1, 7) for kind in ("", "_mask")}
    assert {path.name for path in (tmp_path / "one").iterdir()} == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    masks = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (tmp_path / "one").glob("*_mask.tif")]
    assert {value for mask in masks for value in np.unique(mask)} == {0, 255}
    assert counts == (18, sum(bool(mask.any()) for mask in masks))
    image, mask = Subject(7, 2, params).frame(5)
    assert np.array_equal(cv2.imread(str(tmp_path / "one/2_5.tif"), cv2.IMREAD_UNCHANGED), image)
    assert np.array_equal(cv2.imread(str(tmp_path / "one/2_5_mask.tif"), cv2.IMREAD_UNCHANGED) == 255, mask)


@pytest.mark.parametrize(
    ("key", "value"), [("subjects", 2), ("frames_per_subject", 1), ("width", 10), ("nerve_fraction", 0.5)]
)
def test_impossible_params_are_refused(key, value):
    with pytest.raises(ValidationError, match=key):
        phantom_params(**{key: value})


@pytest.mark.parametrize(("width", "height"), [(64, 129), (521, 130)])
def test_a_frame_too_narrow_or_too_wide_is_refused(width, height):
    with pytest.raises(ValidationError, match="no room for a neck"):
        phantom_params(width=width, height=height)


@pytest.mark.parametrize(("subject", "frame"), [(0, 1), (1, 0), (1, 7)])
def test_a_subject_or_frame_that_does_not_exist_is_refused(subject, frame):
    with pytest.raises(DatasetError, match="does not exist"):
        Subject(7, subject, phantom_params()).frame(frame)


# --- the nerve


def test_fascicles_lie_inside_the_mask_and_are_darker_than_the_tissue_around_them(subjects):
    for subject, _ in subjects:
        middle = (subject.first + subject.last) // 2
        pose = subject._draw_pose(np.random.default_rng(0), middle)
        tissue, near = subject.anatomy.plane(pose, 1.0)
        echo, inside = tissue.echo[near.window], near.distance < -0.2
        dark = inside & (echo < -31.0)
        assert 0.05 < dark.sum() / inside.sum() < 0.7
        assert ndimage.label(ndimage.binary_opening(dark))[1] >= 2
        assert echo[inside & ~dark].mean() > echo[dark].mean() + 10.0


def test_a_nerve_out_of_plane_leaves_no_trace(grid):
    near = organ_near(grid, Ellipse(27.0, 15.0, 5.0, 3.5, -0.4))
    fascicles = np.array([[-2.0, 0.0, 1.0, 1.0], [2.0, 0.0, 1.0, 1.0]], np.float32)
    tissue = Tissue.uniform(grid.shape, -25.0)
    paint_nerve(tissue, near, np.zeros_like(near.distance), fascicles, 0.0, 1.0)
    assert np.all(tissue.echo == -25.0)
    assert not tissue.mirror.any()
    paint_nerve(tissue, near, np.zeros_like(near.distance), fascicles, 1.0, 1.0)
    assert np.ptp(tissue.echo) > 15.0


def test_the_first_and_last_frames_with_a_nerve_show_it_clearly():
    params = phantom_params(frames_per_subject=20)
    subject = Subject(7, 1, params)
    for frame in range(1, 21):
        visible = subject._visibility(frame)
        assert visible >= 0.8 if subject.shows_nerve(frame) else visible <= 0.2


def test_the_roots_lie_in_a_column_along_the_nerve_and_apart_from_each_other(grid):
    rng = np.random.default_rng(3)
    for _ in range(40):
        shape = draw_nerve(rng, grid).shape
        fascicles = draw_fascicles(rng, shape)
        roots = fascicles[fascicles[:, 2] > 0.33 * shape.short]
        assert len(roots) >= 1
        assert np.all(np.abs(fascicles[:, 0]) + fascicles[:, 2] < shape.long)
        for i, one in enumerate(fascicles):
            gaps = np.hypot(*(fascicles[:i, :2] - one[:2]).T) - fascicles[:i, 2] - one[2]
            assert np.all(gaps > 0.0)


def test_a_hand_never_draws_the_same_line_twice_but_always_about_the_nerve(grid):
    shape = Ellipse(27.0, 15.0, 5.0, 3.0, -1.0)
    near = organ_near(grid, shape)
    rng = np.random.default_rng(5)
    nerve = near.distance < 0.0
    for _ in range(10):
        hand = Hand.draw(rng)
        one, two = (hand.outline(near, shape, rng) < 0.0 for _ in range(2))
        assert np.any(one != two)
        for drawn in (one, two):
            assert 2.0 * np.sum(drawn & nerve) / (drawn.sum() + nerve.sum()) > 0.75


# --- the acoustics


def test_speckle_of_uniform_tissue_is_rayleigh_distributed(grid):
    envelope = scan(Tissue.uniform(grid.shape), grid, looks=1)[20:, 20:-20]
    # Rayleigh: mean / deviation = sqrt(pi / (4 - pi)) = 1.913, and the median is sqrt(ln 4) times the scale.
    assert envelope.mean() / envelope.std() == pytest.approx(1.913, abs=0.06)
    scale = np.sqrt(np.mean(np.square(envelope)) / 2.0)
    assert np.median(envelope) / scale == pytest.approx(np.sqrt(np.log(4.0)), abs=0.03)


def test_averaging_looks_smooths_speckle_and_keeps_its_power(grid):
    one, four = (scan(Tissue.uniform(grid.shape), grid, looks=looks)[20:] for looks in (1, 4))
    assert four.std() < 0.6 * one.std()
    assert decibels(four) == pytest.approx(decibels(one), abs=0.5)


def test_uniform_tissue_is_equally_bright_at_all_depths(grid):
    envelope = scan(Tissue.uniform(grid.shape), grid)
    assert decibels(envelope[20:100]) == pytest.approx(decibels(envelope[-100:-20]), abs=0.7)


def test_the_point_spread_is_short_along_the_beam_and_wide_across_and_widens_away_from_the_focus(grid):
    tissue = Tissue.uniform(grid.shape, echo=-90.0)
    rows = [int(depth / grid.pitch[0]) for depth in (16.0, 26.0, 36.0)]
    for row in rows:
        tissue.mirror[row, 140] = 1.0
    envelope = scan(tissue, grid, focus=16.0)

    def width(profile, pitch):
        position = np.arange(profile.size) * pitch
        weight = np.square(profile) / np.square(profile).sum()
        return np.sqrt(np.sum(weight * (position - np.sum(weight * position)) ** 2))

    across = [width(envelope[row, 110:170], grid.pitch[1]) for row in rows]
    along = width(envelope[rows[0] - 15 : rows[0] + 15, 140], grid.pitch[0])
    assert 1.5 * along < across[0] < across[1] < across[2]


def test_blood_has_no_echo_and_the_tissue_below_it_is_enhanced(grid):
    tissue = Tissue.uniform(grid.shape, -20.0)
    near = organ_near(grid, Ellipse(27.0, 15.0, 4.0, 4.0, 0.0))
    paint_vessel(tissue, near, np.zeros_like(near.distance))
    envelope = scan(tissue, grid)
    row, line = (int(27.0 / pitch) for pitch in grid.pitch)
    blood = envelope[int(13 / grid.pitch[0]) : int(17 / grid.pitch[0]), line - 8 : line + 8]
    below, beside = (envelope[row:, start : start + 16] for start in (line - 8, 20))
    assert decibels(blood) < decibels(beside) - 20.0
    assert decibels(below) > decibels(beside) + 3.0


def test_bone_casts_a_shadow(grid):
    tissue = Tissue.uniform(grid.shape, -20.0)
    near = organ_near(grid, Ellipse(27.0, 15.0, 5.0, 2.0, 0.0))
    paint_bone(tissue, near, np.zeros_like(near.distance))
    envelope = scan(tissue, grid)
    row, line = (int(27.0 / pitch) for pitch in grid.pitch)
    below, beside = (envelope[row:, start : start + 16] for start in (line - 8, 20))
    assert decibels(below) < decibels(beside) - 15.0


def test_compression_maps_the_dynamic_range_onto_all_greys_and_the_dark_half_onto_a_third_of_them():
    envelope = np.repeat(np.float32([[1.0], [10.0 ** (-24 / 20)], [10.0 ** (-48 / 20)], [1e-5]]), 8, axis=1)
    grey = compress(np.repeat(envelope, 8, axis=0), Scanner(dynamic_range=48.0), 16)
    assert grey.shape == (32, 16)
    assert np.abs(grey[4::8, 4].astype(int) - [255, 90, 0, 0]).max() <= 1


def test_the_marker_lies_over_the_top_of_the_frame_and_the_first_column_is_black():
    image = np.full((420, 580), 128, np.uint8)
    add_marker(image)
    assert not image[:, 0].any()
    touched = np.argwhere(image[:, 1:] != 128)
    assert touched[:, 0].max() <= 20
    assert np.ptp(touched[:, 1]) <= 22
