import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nerveseg.dataset.mask_encoding import encode_rle, pack_mask, unpack_mask
from run_lengths import decode_rle


def test_run_lengths_are_column_major_from_one_as_in_the_challenge():
    mask = np.zeros((3, 4), bool)
    mask[1, 0] = mask[2, 0] = mask[0, 1] = mask[2, 3] = True
    assert encode_rle(mask) == "2 3 12 1"


def test_an_empty_mask_has_no_runs():
    assert not encode_rle(np.zeros((5, 5), bool))


@given(arrays(np.bool_, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_run_lengths_give_the_mask_back(mask):
    assert np.array_equal(decode_rle(encode_rle(mask), mask.shape), mask)


@given(arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_a_packed_mask_comes_back(mask):
    assert np.array_equal(unpack_mask(pack_mask(mask), mask.shape), mask)


def test_a_packed_mask_of_a_frame_is_small():
    mask = np.zeros((420, 580), bool)
    mask[100:200, 300:400] = True
    assert len(pack_mask(mask)) < 1000
