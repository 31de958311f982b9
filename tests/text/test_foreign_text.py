"""What others wrote, where it is shown: each name here tries to be more than a name."""

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreign_names import COMMANDS, FOUND, LINKS, MARKS, tokens_of
from nerveseg.errors import DatasetError, ParamsError, told_plainly
from nerveseg.text.foreign_text import from_spreadsheet, in_markdown, in_spreadsheet, on_one_line, safe_terminal

NAMES = st.text() | st.sampled_from([*COMMANDS, *MARKS, *LINKS]) | st.text("@#:|`<>![]()*_~$&\\\n\r -=+'\"w.h/1a")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_terminal_shows_a_name_on_one_line_and_obeys_none(name):
    assert on_one_line(name).isprintable()
    assert re.search(r"\\[xunrtUab0]", on_one_line(name)), "what was there can be seen"


@pytest.mark.parametrize("name", ["Zoë", "神経", "нерв", "عصب", "e\u0301", "a b", "🙂", "x\u3000y", "C:\\x"])
def test_a_terminal_shows_other_people_s_letters_as_they_are(name):
    assert on_one_line(name) == name


@given(NAMES)
def test_a_name_in_markdown_is_words_alone(name):
    found = tokens_of(f"- before {in_markdown(name)} after")
    assert {token.type for token in found} <= {
        "bullet_list_open", "list_item_open", "paragraph_open", "inline", "text", "text_special", "paragraph_close",
        "list_item_close", "bullet_list_close",
    }  # fmt: skip
    shown = "".join(token.content for token in found if token.type.startswith("text"))
    assert not FOUND.search(shown)
    assert shown.replace("\u200b", "") == f"before {on_one_line(name)} after".replace("\u200b", "")


@given(NAMES)
def test_a_name_in_a_markdown_table_stays_in_its_cell(name):
    found = tokens_of(f"| a | b |\n|---|---|\n| {in_markdown(name)} | x |\n| y | z |")
    assert [token.type for token in found].count("td_open") == 4
    assert found[-1].type == "table_close"


@pytest.mark.parametrize("name", ["12", "p3f2a", "Dice of subject 3, by -0.1583", "v1.2", "95 %", "frame.png"])
def test_plain_words_stay_plain_in_markdown(name):
    assert in_markdown(name) == name


@pytest.mark.parametrize(
    "cell", ["=1+1", "+cmd", "-x", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", "=HYPERLINK()", "'=1"]
)
def test_a_spreadsheet_takes_no_name_for_a_formula(cell):
    assert in_spreadsheet(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["a=b", "'quoted'", "1-2", "", "-3", "+1.5e-3", -0.5, 7, None, True])
def test_a_spreadsheet_gets_numbers_and_other_text_as_they_are(cell):
    assert in_spreadsheet(cell) is cell


@given(st.text() | st.text("'=+-@\t1"))
def test_our_own_tables_are_read_as_they_were_written(cell):
    assert from_spreadsheet(in_spreadsheet(cell)) == cell


def test_what_is_printed_keeps_its_lines_and_obeys_no_name(capsys):
    with safe_terminal():
        print("first\n\x1b[31msecond \udcff over\rwritten")
        print("third \u202e", file=sys.stderr)
    seen = capsys.readouterr()
    assert seen.out == "first\n\\x1b[31msecond \\udcff over\\rwritten\n"
    assert seen.err == "third \\u202e\n"


def test_progress_bars_still_move_on_their_line(capsys):
    from tqdm import tqdm

    with safe_terminal():
        for _ in tqdm(range(2), desc="epoch", mininterval=0, disable=False):
            pass
    seen = capsys.readouterr().err
    assert seen.count("\r") > 1
    assert "\\r" not in seen


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_terminal_without_a_letter_shows_its_code_and_the_work_goes_on(encoding):
    program = (
        "from nerveseg.errors import *\nwith told_plainly():\n print('神経')\n raise DatasetError('нерв: \\udcff')"
    )
    done = subprocess.run([sys.executable, "-c", program], env={"PYTHONIOENCODING": encoding, "PYTHONPATH": ":".join(sys.path)}, capture_output=True, check=False)  # fmt: skip
    assert done.returncode == 1
    assert done.stdout.decode(encoding).strip() in ("神経", "\\u795e\\u7d4c")
    assert done.stderr.startswith(b"error: ")
    assert b"Traceback" not in done.stderr


def test_an_error_is_one_line_though_a_name_in_it_has_several():
    with pytest.raises(SystemExit, match=r"^error: a\\n\\x1b\[1mall is well: not found$"), told_plainly():
        raise DatasetError("a\n\x1b[1mall is well: not found")


def test_several_wrong_params_are_a_line_each():
    with pytest.raises(SystemExit, match=r"^error: one\ntwo\\nlines$"), told_plainly():
        raise ParamsError("one", "two\nlines")
