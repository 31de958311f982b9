import sys

import numpy as np

from nerveseg.dataset.mask_encoding import unpack_mask
from nerveseg.preprocessing.layouts import Source
from nerveseg.preprocessing.prepared_frames import prepare
from nerveseg.preprocessing.source_files import Reading
from odd_files import SIZE, blob, encoded, picture
from processes import run


def test_a_worker_loads_neither_tensorflow_nor_pandas():
    code = "import sys, nerveseg.preprocessing.prepared_frames; print(sorted({'tensorflow', 'pandas', 'pydantic'} & set(sys.modules)))"
    assert run(sys.executable, "-c", code) == "[]"


def test_what_is_kept_of_a_frame_is_what_the_files_hold(tmp_path):
    for name, pixels in (("a.tif", picture()), ("a_mask.tif", blob())):
        (tmp_path / name).write_bytes(encoded(pixels))
    source = Source("a", tmp_path / "a.tif", (tmp_path / "a_mask.tif",))
    ((item,),) = prepare(source, Reading(tmp_path, (), b""), (24, 40))
    assert (item.size, item.mask_area, item.source) == (SIZE, 9 * 16, "a")
    assert np.array_equal(unpack_mask(item.truth, item.size), blob() > 0)
    frame = np.frombuffer(item.frame, np.uint8)
    assert frame.size == len(item.mask) == 24 * 40
    assert item.levels == (int(frame.sum()), int((frame.astype(np.int64) ** 2).sum()))
