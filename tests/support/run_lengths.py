"""Kaggle's run-length code, read as the challenge's evaluation reads it."""

import numpy as np


def decode_rle(code, shape):
    """The mask, bool of `shape` (H, W), of `start length` pairs, column-major, counted from 1."""
    flat = np.zeros(shape[0] * shape[1], np.bool_)
    for start, length in np.array(code.split(), np.int64).reshape(-1, 2):
        assert 1 <= start < start + length <= flat.size + 1
        flat[start - 1 : start - 1 + length] = True
    return flat.reshape(shape[1], shape[0]).T
