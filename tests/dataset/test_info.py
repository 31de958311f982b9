from dataclasses import replace

import pytest

from nerveseg.dataset.info import DatasetInfo
from nerveseg.dataset.input_spec import InputSpec

INFO = DatasetInfo("data/raw/clinic", InputSpec(96, 128, 80.0, 40.0), {"train": 10, "val": 3, "test": 4}, "ab" * 32)


@pytest.mark.parametrize(("simulated", "alone"), [(17, True), (16, False), (0, False)])
def test_a_data_set_is_simulated_alone_if_every_frame_is(simulated, alone):
    assert replace(INFO, simulated=simulated).simulated_only == alone


def test_a_data_set_without_frames_is_not_called_simulated():
    assert not replace(INFO, frames={}).simulated_only
