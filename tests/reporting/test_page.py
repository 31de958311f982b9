import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from nerveseg.reporting.ablation_summary import Findings, Gain
from nerveseg.reporting.charts import Series
from nerveseg.reporting.embedding import document, figure
from nerveseg.reporting.page import write_report
from score_tables import scores_of

OF_UNET = {
    "dice": 0.8432,
    "iou": 0.79,
    "binary_accuracy": 0.99,
    "dice_nerve": 0.77,
    "iou_nerve": 0.66,
    "precision": 0.8,
    "recall": 0.78,
    "presence_sensitivity": 0.93,
    "hd95": 7.0,
    "hd95_common": 9.5,
    "frames_outlined": 81,
    "ece": 0.01,
}
VALUES = {
    "unet": OF_UNET,
    "exported": OF_UNET | {"dice": 0.8571, "hd95": 3.0, "hd95_common": 10.25, "presence_specificity": 0.97},
    "baseline_empty": {"dice": 0.58, "iou": 0.58, "dice_nerve": None},
    "baseline_mean_mask": {"dice": 0.17, "dice_nerve": 0.41},
}
BOUNDS = {
    ("unet", "dice"): (0.81, 0.88, ""),
    ("exported", "dice"): (0.82, 0.89, np.nan),
    ("unet", "dice_nerve"): (np.nan, np.nan, "one subject"),
    ("baseline_mean_mask", "dice"): (0.15, 0.19, ""),
    ("baseline_empty", "dice_nerve"): (np.nan, np.nan, "no frame counts"),
}
SCORES = scores_of(VALUES, BOUNDS)
METRICS = {key: {} for key in ("unet", "gan", *VALUES)} | {
    "counts": {"frames": 200, "frames_with_nerve": 84, "subjects": 10},
    "shipped": {"source": "gan", "arm": "control", "precision": "int8"},
}
DATA = {"source": "data/raw/<clinic>", "digest": "ab" * 32, "frames": {"train": 9, "val": 1, "test": 2}}
SUMMARY = {"Data": "data/raw/<clinic>; digest abababababab", "Code": "commit 1234567"}
FINDINGS = Findings(
    "The refiner raised Dice by <+0.01>.",
    ["U-Net", "Refiner without critic"],
    {"Dice, clean": [Gain("0.500"), Gain("0.510", "+0.010", "-0.010 to +0.030")]},
    ["The critic guesses."],
)
PARAMS = {
    "lr": 0.001,
    "rate": 95.64946781823394,
    "unet": {"encoder_weights": None, "encoder": "<plain>"},
    "evaluate": {"severities": [1, 3]},
    "split": {"val_subjects": []},
    "gan": {"critic": "none"},
}


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.rows, self.images, self.tags = [], [], []
        self.text, self.in_cell = "", False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True
        if tag == "small":
            self.rows[-1][-1] += " | "
        if tag == "img":
            self.images.append(dict(attributes))

    def handle_endtag(self, tag):
        self.in_cell = self.in_cell and tag not in {"td", "th"}

    def handle_data(self, data):
        if self.in_cell:
            self.rows[-1][-1] += data.strip()
        self.text += data


@pytest.fixture
def figures(tmp_path):
    for name, size in (("overlays", (1200, 30)), ("curves", (90, 20))):
        Image.new("RGB", size, "white").save(tmp_path / f"{name}.png")
    return [
        ("Overlays", "Outlines & Dice", tmp_path / "overlays.png"),
        ("Training", "By epoch", tmp_path / "curves.png"),
    ]


@pytest.fixture
def written(tmp_path, figures):
    write_report(
        tmp_path / "reports" / "index.html",
        METRICS,
        SCORES,
        PARAMS,
        DATA,
        figures,
        FINDINGS,
        summary=SUMMARY,
        lead=figures[0],
    )
    return (tmp_path / "reports" / "index.html").read_text(encoding="utf-8")


def row(page, name):
    return [cells[1:] for cells in page.rows if cells and cells[0].startswith(name)][
        -1
    ]  # first of the summary, then of all


def test_scores_stand_beside_the_baselines_with_their_intervals(written):
    page = Page(written)
    assert ["Measure", "U-Net", "Shipped", "Average mask", "Empty mask"] in page.rows
    mean_mask = "0.170 | 0.150–0.190"
    assert row(page, "Dice, all frames") == ["0.843 | 0.810–0.880", "0.857 | 0.820–0.890", mean_mask, "0.580"]


def test_a_score_that_is_not_defined_is_shown_as_not_available(written):
    page = Page(written)
    assert row(page, "Presence: specificity") == ["n/a", "0.970", "n/a", "n/a"]
    assert row(page, "Dice, frames with nerve") == ["0.770 | no interval: one subject", "0.770", "0.410", "n/a"]
    assert "None" not in re.sub(r"base64,[^\"]*", "", written)


def test_of_distances_and_errors_the_lowest_is_best(written):
    (of_row,) = re.findall(r"HD95 \(pixels\).*?</tr>", written, re.DOTALL)
    assert re.findall(r'<td class="best">([0-9.]+)', of_row) == ["9.5"]
    (of_row,) = re.findall(r"Calibration error<.*?</tr>", written, re.DOTALL)
    assert re.findall(r'<td class="best">([0-9.]+)', of_row) == ["0.010", "0.010"]


def test_of_a_count_none_is_the_best(written):
    of_row = written.partition('id="scores"')[2].partition("Frames outlined")[2].partition("</tr>")[0]
    assert "81" in of_row
    assert 'class="best"' not in of_row


def test_the_best_of_a_row_stands_out_and_equal_scores_share_it(written):
    best = re.findall(r'<td class="best">([0-9.]+)', written.partition('id="scores"')[2])
    assert best[0] == "0.857"
    assert best[1:3] == ["0.770", "0.770"]


def test_the_page_says_what_an_empty_prediction_scores(written):
    words = " ".join(Page(written).text.split())
    assert "an empty prediction on a frame without a nerve counts 1" in words
    assert "200 test frames of 10 subjects that training never saw, 84 of them with a nerve." in words


def test_the_first_screen_has_the_main_scores_beside_the_baselines_the_facts_and_a_picture(written):
    first = written.partition('id="scores"')[0]
    page = Page(first)
    assert page.rows[0] == ["Measure", "Shipped", "Average mask", "Empty mask"]
    assert [cells[0] for cells in page.rows[1:]] == [
        "Dice, frames with nerve", "Dice, all frames", "Presence: sensitivity", "Presence: specificity",
    ]  # fmt: skip
    assert page.rows[1] == ["Dice, frames with nerve", "0.770", "0.410", "n/a"]
    assert page.rows[2] == ["Dice, all frames", "0.857 | 0.820–0.890", "0.170 | 0.150–0.190", "0.580"]
    assert "data/raw/<clinic>; digest abababababab" in page.text
    assert "commit 1234567" in page.text
    assert [image["alt"] for image in page.images] == ["Overlays: Outlines & Dice"]


def test_the_page_says_whether_the_refiner_helps_and_what_its_training_was_remarked_for(written):
    page = Page(written)
    words = " ".join(page.text.split())
    assert "Does the refiner help? The refiner raised Dice by <+0.01>. Measure" in words
    assert row(page, "Dice, clean") == ["0.500", "0.510 | +0.010 | -0.010 to +0.030"]
    assert "The critic guesses. Figures" in words


def test_distances_stand_beside_each_other_on_common_frames_alone_with_the_number_of_frames_outlined(written):
    page = Page(written)
    assert row(page, "HD95 (pixels)")[:2] == ["9.5", "10.2"]
    assert row(page, "Frames outlined")[:2] == ["81", "81"]
    assert not any("7.000" in cell or "3.000" in cell for cells in page.rows for cell in cells)


def test_every_figure_is_embedded_with_its_caption_size_and_alternative_text(written, figures):
    images = Page(written.partition('id="figures"')[2]).images
    for image, (title, caption, png) in zip(images, figures, strict=True):
        kind, content = image["src"].split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content) == png.read_bytes()
        assert image["alt"] == f"{title}: {caption}"
        assert (int(image["width"]), int(image["height"])) == Image.open(png).size


def test_a_large_figure_is_embedded_smaller_and_looks_the_same(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (50, 80, 3), np.uint8)
    picture = Image.fromarray(noise).resize((1600, 1000), Image.Resampling.BICUBIC)
    picture.save(tmp_path / "large.png")
    embedded = figure("Large", "", tmp_path / "large.png")
    assert (embedded.kind, embedded.width, embedded.height) == ("image/webp", 1600, 1000)
    content = base64.b64decode(embedded.data)
    assert len(content) < (tmp_path / "large.png").stat().st_size / 2
    again = Image.open(io.BytesIO(content)).convert("RGB")
    assert np.abs(np.asarray(again, int) - np.asarray(picture, int)).mean() < 6


def test_a_document_comes_back_as_it_was_and_cannot_end_its_element():
    content = {"name": "</script><!--", "label": "é “x”", "line": [Series("a", "#fff", [[1.0, 2.0]])], "none": None}
    text = document(content)
    assert "<" not in text
    assert json.loads(text) == content | {
        "line": [{"label": "a", "colour": "#fff", "points": [[1.0, 2.0]], "dash": []}]
    }
    with pytest.raises(ValueError, match="not JSON compliant"):
        document({"dice": float("nan")})


def test_the_policy_of_the_page_names_the_digest_of_each_script_that_it_holds(tmp_path, figures):
    browser = {"models": {}, "kinds": {}, "quality": {"scale": 1, "quality": 80}, "cases": []}
    write_report(tmp_path / "index.html", METRICS, SCORES, PARAMS, DATA, figures, FINDINGS, browser)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    allowed = re.findall(r"'sha256-([^']+)'", page)
    assert [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts] == allowed
    assert len(scripts) == 5
    assert "unsafe-eval" not in page
    assert "'unsafe-inline'; script-src 'sha256-" in page


def test_the_data_are_named_with_their_digest(written):
    words = re.sub(r"\s+", " ", Page(written).text)
    assert f"digest{'ab' * 32}" in words
    assert "sourcedata/raw/<clinic>" in words


def test_the_page_makes_no_request_and_without_cases_runs_no_script(written, tmp_path):
    outside = re.sub(r"data:image/png;base64,[^\"]*", "", written)
    assert not re.search(r"https?:|//|url\(|@import|<script|<link rel=.stylesheet", outside)
    assert str(tmp_path) not in outside
    for tag, attributes in Page(written).tags:
        for name in {"src", "href"} & attributes.keys():
            assert attributes[name].startswith(("data:", "#")), (tag, attributes)
    assert "default-src 'none'" in written
    assert "script-src 'none'" in written


def test_links_on_the_page_lead_somewhere(written):
    tags = Page(written).tags
    places = {attributes["id"] for _, attributes in tags if "id" in attributes}
    links = {attributes["href"][1:] for tag, attributes in tags if tag == "a"}
    assert {"scores", "refiner", "figure-1", "figure-2", "data", "parameters"} <= links <= places


def test_parameters_are_readable_and_cannot_break_the_page(written):
    words = re.sub(r"\s*\n\s*", " ", Page(written).text)
    for expected in (
        "general lr 0.001",
        "rate 95.6495",
        "encoder <plain>",
        "severities 1, 3",
        "frames train 9, val 1, test 2",
    ):
        assert expected.replace(" ", "") in words.replace(" ", "")
    assert "<plain>" not in written


def test_an_empty_parameter_is_called_not_set_and_a_critic_of_none_stays_none(written):
    told = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", written))
    assert told["encoder_weights"] == told["val_subjects"] == "not set"
    assert told["critic"] == "none"


def test_two_writes_are_equal_to_the_bit(written, tmp_path, figures):
    again = (METRICS, SCORES, PARAMS, DATA, figures, FINDINGS)
    write_report(tmp_path / "again.html", *again, summary=SUMMARY, lead=figures[0])
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == written


def test_a_figure_that_is_not_a_png_is_refused_and_the_old_page_stays(tmp_path):
    (tmp_path / "figure.png").write_text("no picture")
    (tmp_path / "index.html").write_text("old")
    with pytest.raises(ValueError, match=r"figure\.png is not a PNG"):
        write_report(
            tmp_path / "index.html", METRICS, SCORES, PARAMS, DATA, [("Figure", "", tmp_path / "figure.png")], FINDINGS
        )
    assert (tmp_path / "index.html").read_text() == "old"


def test_the_page_calls_intervals_over_few_subjects_too_narrow(tmp_path, written):
    few = METRICS | {"counts": METRICS["counts"] | {"subjects": 3}}
    write_report(tmp_path / "few.html", few, SCORES, PARAMS, DATA, [], FINDINGS)
    assert "With only 3 test subjects the intervals are too narrow" in (tmp_path / "few.html").read_text(
        encoding="utf-8"
    )
    assert "too narrow" not in written
