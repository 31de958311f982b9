"""A folder of the user's that DVC may have taken into its cache."""

import os

import pytest

from nerveseg.files.user_folder import RECORD, Written


def write(folder, name, content):
    written = Written(folder)
    with written.new(name) as path:
        path.write_text(content)
    return written


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_record_that_is_a_link_into_a_cache_is_written_anew_and_the_cache_stays(tmp_path, link):
    (out := tmp_path / "out").mkdir()
    write(out, "a.png", "1").close()
    kept = (out / RECORD).rename(tmp_path / "cached")
    before = kept.read_bytes()
    link(kept, out / RECORD)
    interrupted = write(out, "b.png", "2")
    assert kept.read_bytes() == before
    assert [Written(out).owns(name) for name in ("a.png", "b.png")] == [True, True]
    interrupted.close()
    assert kept.read_bytes() == before
