import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerveseg.refinement.mask_corruption import CORRUPTIONS, corrupt_some

ROWS, COLUMNS = np.ogrid[:96, :128]
NERVE = (8.0 - 0.02 * ((ROWS - 45) ** 2 + (COLUMNS - 60) ** 2)).clip(-8.0, 8.0).astype(np.float32)
NOTHING = np.full((96, 128), -7.0, np.float32)
kinds = pytest.mark.parametrize("kind", list(CORRUPTIONS))


def areas(kind, logits=NERVE, draws=40):
    return np.array([(CORRUPTIONS[kind](logits, np.random.default_rng(seed)) > 0.0).sum() for seed in range(draws)])


@kinds
@given(seed=st.integers(0, 2**31))
def test_a_corrupted_prediction_keeps_shape_and_type_and_leaves_the_first_alone(kind, seed):
    before = NERVE.copy()
    for logits in (NERVE, NOTHING):
        corrupted = CORRUPTIONS[kind](logits, np.random.default_rng(seed))
        assert corrupted.shape == logits.shape
        assert corrupted.dtype == np.float32
        assert np.isfinite(corrupted).all()
        assert np.array_equal(corrupted, CORRUPTIONS[kind](logits, np.random.default_rng(seed)))
    assert np.array_equal(NERVE, before)


def test_a_missing_blob_takes_a_part_or_all_and_an_extra_one_adds():
    area = (NERVE > 0.0).sum()
    assert (areas("missing blob") < area).all()
    assert areas("missing blob").max() > 0.5 * area
    assert areas("missing blob").min() < 0.3 * area
    assert (areas("extra blob") >= area).all()
    assert np.median(areas("extra blob")) > 1.02 * area
    assert np.median(areas("extra blob", NOTHING)) > 50


def test_erosion_shrinks_and_dilation_grows_by_up_to_a_twentieth_of_the_height():
    radius = np.sqrt((NERVE > 0.0).sum() / np.pi)
    shrunk, grown = (np.sqrt(areas(kind) / np.pi) - radius for kind in ("erosion", "dilation"))
    assert shrunk.max() < -0.5
    assert shrunk.min() > -5.8
    assert grown.min() > 0.5
    assert grown.max() < 5.8


def test_jitter_moves_the_outline_and_keeps_the_size():
    area = (NERVE > 0.0).sum()
    jittered = [CORRUPTIONS["jitter"](NERVE, np.random.default_rng(seed)) > 0.0 for seed in range(40)]
    assert np.mean([mask.sum() for mask in jittered]) == pytest.approx(area, rel=0.1)
    assert np.mean([(mask != (NERVE > 0.0)).sum() for mask in jittered]) > 0.05 * area


def test_of_what_finds_nothing_no_blob_can_go_missing():
    assert np.array_equal(CORRUPTIONS["missing blob"](NOTHING, np.random.default_rng(0)), NOTHING)


def test_the_asked_share_of_a_batch_is_corrupted():
    batch = np.stack([NERVE] * 300)
    changed = [not np.array_equal(each, NERVE) for each in corrupt_some(batch, 0.3, np.random.default_rng(0))]
    assert 0.22 < np.mean(changed) < 0.38
    assert np.array_equal(corrupt_some(batch, 0.0, np.random.default_rng(0)), batch)
