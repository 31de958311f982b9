import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nerveseg.files.array_archive import write_arrays


@given(
    array=arrays(
        st.sampled_from([np.uint8, np.float32, np.bool_, np.int64]), st.lists(st.integers(0, 4), max_size=3).map(tuple)
    )
)
def test_numpy_reads_arrays_back_in_their_order(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("archive") / "some.npz"
    write_arrays(path, {"second": array, "first": np.float32(0.5), "name": "153_3"})
    with np.load(path) as read:
        assert read.files == ["second", "first", "name"]
        np.testing.assert_array_equal(read["second"], array, strict=True)
        assert (read["first"].item(), read["name"].item()) == (0.5, "153_3")


def test_bytes_are_the_same_with_every_python_that_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    write_arrays(path, {"a": np.arange(6, dtype=np.uint8).reshape(2, 3)})
    assert (
        hashlib.sha256(path.read_bytes()).hexdigest()
        == "83d59e56e22a5d569967be719bb0d2e749a7c1ecb859b491e51f482cdfc93e8e"
    )


def test_python_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays"):
        write_arrays(tmp_path / "some.npz", {"a": np.array([object()])})
