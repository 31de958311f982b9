"""What the report says of the frames, the code and the cut-offs behind it."""

from dataclasses import replace

import pytest

from nerveseg.dataset.info import DatasetInfo
from nerveseg.dataset.input_spec import InputSpec
from nerveseg.imaging.grey_range import GreyRange
from nerveseg.inference.postprocessing import Cutoffs
from nerveseg.params.file import load_params
from nerveseg.reporting.provenance import CutoffRow, cutoff_rows, facts_of, remarks_on, summary_of
from paths import ROOT
from processes import run
from repositories import make_repository, use_settings

INFO = DatasetInfo("data/raw/clinic", InputSpec(96, 128, 80.0, 40.0), {"train": 10, "val": 3, "test": 4}, "ab" * 32)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    use_settings(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


METRICS = {
    "shipped": {"source": "gan", "arm": "control", "precision": "int8"},
    "degraded": {"unet": 0.5, "control": 0.6},
}


def summary(**changed):
    grid = load_params(ROOT / "params.yaml").postprocess
    return summary_of(INFO, METRICS | changed, cutoff_rows({"exported": Cutoffs(0.4, 0.01, 0.5)}, ["exported"], grid))


def code():
    return summary()["Code"]


def committed(folder, **files):
    for name, text in files.items():
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "file").write_text(text)
    make_repository(folder)
    return run("git", "rev-parse", "--short", "HEAD", cwd=folder)


def test_simulated_frames_are_called_simulated_and_others_by_their_folder(repository):
    assert remarks_on(replace(INFO, simulated=17))[0].startswith("The frames are simulated: ")
    assert remarks_on(replace(INFO, simulated=5))[0].startswith("5 of the 17 frames are simulated: ")
    assert remarks_on(INFO)[0] == "The frames come from data/raw/clinic."


def test_the_page_repeats_what_check_warned_of():
    assert (
        remarks_on(replace(INFO, warnings=("3 frames without a known subject",)))[1]
        == "Warning: 3 frames without a known subject."
    )


def test_the_page_names_the_commit_of_its_code_and_not_that_of_its_results(repository):
    commit = committed(repository, src="code")
    results = committed(repository, metrics="0.9")
    assert commit != results
    assert code() == f"commit {commit}"


def test_changes_that_no_commit_has_are_told(repository):
    commit = committed(repository, src="code")
    (repository / "src" / "file").write_text("changed")
    assert code() == f"commit {commit}, with uncommitted changes"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ("lr: 1\ntracking: {promote: true}\n", False),
        ("# faster\nlr: 1\ntracking: {promote: false}\ngate: {margin: 1}\n", False),
        ("lr: 2\ntracking: {promote: false}\n", True),
        ("tracking: {promote: false}\n", True),
    ],
)
def test_params_that_no_stage_reads_are_no_uncommitted_change(repository, changed, told):
    (repository / "params.yaml").write_text("lr: 1\ntracking: {promote: false}\n")
    committed(repository, src="code")
    (repository / "params.yaml").write_text(changed)
    assert ("uncommitted" in code()) is told
    run("git", "rm", "-q", "--cached", "params.yaml", cwd=repository)
    assert "uncommitted" in code()


def test_a_module_that_git_does_not_know_yet_is_an_uncommitted_change_and_what_it_ignores_is_none(repository):
    (repository / ".gitignore").write_text("__pycache__/\n")
    committed(repository, src="code")
    (repository / "src" / "__pycache__").mkdir()
    (repository / "src" / "__pycache__" / "file.pyc").touch()
    (repository / "notes.txt").touch()
    assert "uncommitted" not in code()
    (repository / "src" / "new.py").touch()
    assert "uncommitted" in code()


def test_without_git_the_page_says_why_it_names_no_commit(repository):
    assert code().startswith("unknown, because ")


def test_cut_offs_are_in_words_and_one_at_the_edge_of_its_grid_is_remarked():
    grid = load_params(ROOT / "params.yaml").postprocess.model_copy(
        update={"thresholds": ("expected", 0.2, 0.5), "min_areas": (0.0, 0.01), "presences": (0.0, 0.5, 0.9)}
    )
    inside = CutoffRow.of(Cutoffs(threshold="expected", min_area=0.0, presence=0.5), grid)
    assert (inside.min_area, inside.presence, inside.remarks) == ("any", "0.5", [])
    assert "expected Dice" in inside.threshold
    edge = CutoffRow.of(Cutoffs(threshold=0.2, min_area=0.01, presence=0.9), grid)
    assert edge.min_area == "1 % of the frame"
    assert [remark.partition(";")[0] for remark in edge.remarks] == [
        "0.2 is the lowest value of postprocess.thresholds",
        "0.01 is the highest value of postprocess.min_areas",
        "0.9 is the highest value of postprocess.presences",
    ]


def test_a_presence_cut_off_of_0_is_called_not_used_since_none_would_read_as_no_nerve():
    row = CutoffRow.of(Cutoffs(0.5), load_params(ROOT / "params.yaml").postprocess)
    assert row.presence == "not used"


def test_a_grid_of_one_value_is_a_choice_and_has_no_edge():
    grid = load_params(ROOT / "params.yaml").postprocess.model_copy(update={"thresholds": (0.5,)})
    assert CutoffRow.of(Cutoffs(threshold=0.5, min_area=0.0, presence=0.0), grid).remarks == []


def test_the_summary_says_which_data_what_ships_and_with_which_cut_offs(repository):
    found = summary()
    assert found["Data"] == "data/raw/clinic; digest abababababab"
    assert found["Shipped"] == "the U-Net under the refiner trained without a critic, in int8"
    assert found["Its cut-offs"] == "pixel: 0.4; region: 1 % of the frame; presence: 0.5"
    assert found["Degraded frames"] == "Dice 0.500 without a refiner, 0.600 with the one that ships"


def test_where_no_refiner_ships_the_summary_says_nothing_of_degraded_frames(repository):
    for shipped in ({"source": "gan", "arm": "unet"}, {"source": "ensemble", "arm": None}):
        assert "Degraded frames" not in summary(shipped=shipped | {"precision": "int8"})


def test_facts_on_the_data_are_readable():
    found = facts_of(replace(INFO, simulated=17))
    assert found["grey levels of train"] == "80.0 ± 40.0 (mean, standard deviation; 0 to 255)"
    assert found["simulated"] == "17 of 17"
    assert found["black and white"] == "as the files say"
    assert facts_of(replace(INFO, grey_range=GreyRange(integer=(0.0, 4095.0))))["black and white"] == {
        "16-bit integers": (0.0, 4095.0)
    }
