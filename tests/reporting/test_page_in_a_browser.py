"""The report in a real browser, Chromium: what a reader clicks, types and sees. Skipped where there is none, unless
REQUIRE_CHROMIUM is set, as `.ci/run` does.
"""

import io
import re
import socket

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from matplotlib.colors import to_rgb
from PIL import Image

from drawn_frames import simulated_frame
from nerveseg.preprocessing.layouts import natural_key
from nerveseg.reporting.ablation_summary import Findings, Gain
from nerveseg.reporting.case_browser import Gallery, Rung
from nerveseg.reporting.charts import Chart, Series
from nerveseg.reporting.figures.canvas import GREEN, LOOKS, TRUTH, VERMILLION
from nerveseg.reporting.page import write_report
from processes import eventually
from score_tables import scores_of
from viewer_cases import as_case, scores

pytestmark = pytest.mark.slow

ODD = "9_a b#%<é>"
SIZE = (96, 128)
COUNTS = {"frames": 14, "frames_with_nerve": 10, "subjects": 3}
MODELS = ("unet", "exported")
GAINS = [Gain("0.608"), *[Gain("0.656", "+0.048", "+0.031 to +0.066")] * 2]
SHIPPED = {"source": "gan", "arm": "control", "precision": "int8"}


def made_cases():
    """Three subjects; of each a nerve that the refined mask meets better the higher its number, and a frame without."""
    cases = []
    for subject in (2, 10, 9):
        for number in (3, 1, 4, 2):
            frame, truth = simulated_frame(SIZE, nerve=number < 4, seed=10 * subject + number)
            away = {"unet": np.roll(truth, 9, 1), "exported": np.roll(truth, 4 - number, 1)}
            name = ODD if (subject, number) == (9, 1) else f"{subject}_{number}"
            cases.append(as_case(name, frame, truth, away))
    frame, truth = simulated_frame(SIZE, nerve=True, seed=1)
    empty = np.zeros_like(truth)
    cases.append(as_case("2_5", frame, truth, {"unet": truth, "exported": empty}))
    cases.append(as_case("2_6", frame, empty, {"unet": empty, "exported": truth}))
    return cases


@pytest.fixture(scope="module")
def cases():
    return {case.name: case for case in made_cases()}


@pytest.fixture(scope="module")
def address(cases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    rows = scores(cases.values())
    gallery = Gallery(rows, Rung(1, 80))
    list(gallery.passing(cases.values()))
    points = [(row.truth_area, row.dice, row.frame) for row in rows.query("model == 'exported'").itertuples()]
    series = {"all": [Series("Shipped", VERMILLION, points)], "none": []}
    Image.new("RGB", (900, 300), "white").save(folder / "figure.png")
    write_report(
        folder / "index.html",
        {"unet": {}, "exported": {}, "shipped": SHIPPED, "counts": COUNTS},
        scores_of(
            {model: {"dice": rows.query("model == @model")["dice"].mean(), "hd95_common": None} for model in MODELS}
        ),
        {"lr": 0.001},
        {"digest": "ab" * 32},
        [("Figure", "A figure", folder / "figure.png")],
        Findings(
            "It helps.", ["U-Net", "Refiner without critic", "Refiner with critic"], {"HD95 (pixels), degraded": GAINS}
        ),
        gallery.document(),
        [Chart("by-size", "Dice by size", "Choose a point", "Area", "Dice", series)],
    )
    return (folder / "index.html").as_uri()


USUAL = {"viewport": {"width": 1360, "height": 1000}, "reduced_motion": "reduce"}


@pytest.fixture(scope="module")
def tab(chromium):
    """The tests share it, since another one takes longer to open than the page to load."""
    context = chromium.new_context(**USUAL)
    yield context.new_page()
    context.close()


@pytest.fixture
def visit(chromium, tab, address):
    """Opens the page, at a place of it, and hears every complaint and request; there is to be none."""
    free, contexts, heard = [tab], [], []
    heed = {
        "console": lambda message: heard.append(message.text),
        "pageerror": lambda error: heard.append(str(error)),
        "request": lambda request: None if request.url.startswith(("data:", "file:")) else heard.append(request.url),
    }

    def opened(place="", **context):
        if context or not free:
            contexts.append(chromium.new_context(**USUAL | context))
        page = contexts[-1].new_page() if contexts else free.pop()
        page.goto("about:blank")  # else another place of the page that is there would be no visit
        for event, noted in heed.items():
            page.on(event, noted)
        page.goto(address + place)
        return page

    yield opened
    for context in contexts:
        context.close()
    if not free:
        for event, noted in heed.items():
            tab.remove_listener(event, noted)
    assert heard == []


def names(page):
    return page.locator("#case-rows tr th").all_inner_texts()


def shown(page):
    return page.locator("#case-title").inner_text().removeprefix("Frame ").rpartition(", subject ")[0]


def in_order(names_):
    """As a person counts: 2_1 before 10_1."""
    return sorted(names_, key=natural_key)


def stage(page):
    return np.asarray(Image.open(io.BytesIO(page.locator("#stage").screenshot())).convert("RGB")).astype(float) / 255


def colour_at(page, row, column):
    """Of the stage, at a pixel of the frame."""
    picture = stage(page)
    height, width = picture.shape[:2]
    return picture[int((row + 0.5) * height / SIZE[0]), int((column + 0.5) * width / SIZE[1])]


def choice(page, name):
    return page.get_by_role("combobox", name=name, exact=True)


def middle(mask):
    return [int(np.median(places)) for places in np.nonzero(mask)]


def test_every_frame_is_listed_the_worst_first_and_the_first_one_shown(visit, cases):
    page = visit()
    dice = {name: case.dice["exported"] for name, case in cases.items()}
    assert names(page) == sorted(in_order(cases), key=lambda name: round(dice[name], 4))
    assert shown(page) == "2_5"
    assert page.locator("#case-count").inner_text() == "14 of 14 frames"


def test_a_click_on_a_head_sorts_and_another_turns_the_order_round(visit, cases):
    page = visit()
    head = page.get_by_role("columnheader", name="Dice, Shipped")
    assert head.get_attribute("aria-sort") == "ascending"
    dice = [cases[name].dice["exported"] for name in names(page)]
    assert dice == sorted(dice)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    dice = [cases[name].dice["exported"] for name in names(page)]
    assert dice == sorted(dice, reverse=True)
    page.get_by_role("button", name="Subject").click()
    assert names(page) == [
        name for number in ("2", "9", "10") for name in in_order(cases) if cases[name].subject == number
    ]
    page.get_by_role("button", name="HD95").click()
    assert names(page)[-1] in {"2_4", "2_5", "2_6", "10_4", "9_4"}, "what has no distance comes last"


@pytest.mark.parametrize(
    ("control", "value", "expected"),
    [
        ("Subject", "10", ["10_1", "10_2", "10_3", "10_4"]),
        ("Outcome", "missed", ["2_5"]),
        ("Outcome", "false alarm", ["2_6"]),
        ("Nerve", "none", ["2_6", "2_4", "9_4", "10_4"]),
    ],
)
def test_a_choice_filters_the_list(visit, control, value, expected):
    page = visit()
    choice(page, control).select_option(label=value)
    assert names(page) == expected
    assert page.locator("#case-count").inner_text() == f"{len(expected)} of 14 frames"
    page.get_by_role("button", name="Clear").click()
    eventually(lambda: len(names(page)) == 14)


def test_dice_and_names_filter_as_well_and_an_empty_list_says_so(visit, cases):
    page = visit()
    page.get_by_label("Dice from").fill("0.5")
    page.get_by_label("Dice to").fill("0.99")
    assert set(names(page)) == {name for name, case in cases.items() if 0.5 <= case.dice["exported"] <= 0.99}
    page.get_by_label("Find").fill("no such frame")
    assert names(page) == []
    assert page.get_by_text("No frame matches").is_visible()
    assert page.locator("#next").is_disabled()


def test_arrow_keys_step_through_what_is_listed_and_the_address_follows(visit):
    page = visit()
    choice(page, "Subject").select_option("10")
    page.locator("#stage").focus()
    for expected in ("10_1", "10_2", "10_3", "10_4", "10_4"):
        page.keyboard.press("ArrowRight")
        assert shown(page) == expected
        assert page.url.endswith(f"#case={expected}")
    assert page.locator("#next").is_disabled()
    page.keyboard.press("ArrowLeft")
    assert shown(page) == "10_3"
    page.locator("#previous").click()
    assert shown(page) == "10_2"


def test_the_list_is_worked_with_the_keyboard_alone(visit):
    page = visit()
    page.locator("#case-list").focus()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#case-rows') !== null"):
            break
    assert page.evaluate("document.activeElement.textContent") == "2_5"
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == shown(page) == "2_6"
    assert page.locator("#case-rows a[aria-current]").all_inner_texts() == ["2_6"]


def test_typing_in_a_field_steps_nowhere(visit):
    page = visit()
    page.get_by_label("Find").fill("2_")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert shown(page) == "2_5"


@pytest.mark.parametrize("name", ["10_3", ODD])
def test_a_link_opens_at_its_case(visit, name):
    page = visit()
    page.locator("#case-rows a").filter(has_text=re.compile(f"^{re.escape(name)}$")).click()
    eventually(lambda: shown(page) == name)
    again = visit("#" + page.url.partition("#")[2])
    assert shown(again) == name
    assert again.locator("#stage").evaluate("e => e.getBoundingClientRect().top < innerHeight")


@pytest.mark.parametrize(
    ("name", "told"), [("2_4", "none is annotated, and none was drawn."), ("2_5", "the nerve was missed. Annotated: ")]
)
def test_what_became_of_a_frame_is_told_once(visit, cases, name, told):
    outcome = visit(f"#case={name}").locator("#case-outcome").inner_text()
    area = int(cases[name].truth.sum())
    assert outcome == f"Shipped: {told}" + (f"{area:,} pixels." if area else "")


def test_a_link_to_a_frame_that_is_not_there_says_so(visit):
    page = visit("#case=77_7")
    assert "no test frame called “77_7”" in page.get_by_role("alert").inner_text()
    assert shown(page) == "2_5"


def test_outlines_lie_on_their_masks_and_can_be_taken_away(visit, cases):
    page = visit("#case=2_1")
    page.get_by_label("Annotation").uncheck()
    page.get_by_label("U-Net", exact=True).uncheck()
    picture = stage(page)
    painted = np.abs(picture - to_rgb(LOOKS["exported"].on_frame)).max(axis=-1) < 0.15
    columns = np.nonzero(painted)[1]
    scale = picture.shape[1] / SIZE[1]
    across = np.flatnonzero(cases["2_1"].masks["exported"].any(axis=0))
    assert columns.min() / scale == pytest.approx(across.min(), abs=1.5)
    assert (columns.max() + 1) / scale == pytest.approx(across.max() + 1, abs=1.5)
    page.get_by_label("Shipped", exact=True).uncheck()
    assert not (np.abs(stage(page) - to_rgb(LOOKS["exported"].on_frame)).max(axis=-1) < 0.15).any()


def test_where_it_is_right_and_wrong_has_the_colours_of_the_figures(visit, cases):
    page = visit(f"#case={ODD.replace('%', '%25').replace('#', '%23')}")
    page.get_by_label("Where it is right and wrong").check()
    truth, predicted = cases[ODD].truth, cases[ODD].masks["exported"]
    assert colour_at(page, *middle(truth & predicted)) == pytest.approx(to_rgb(GREEN), abs=0.35)
    assert colour_at(page, *middle(truth & predicted))[1] > colour_at(page, *middle(truth & predicted))[0] + 0.2
    for places, expected in (("fp", VERMILLION), ("fn", TRUTH)):
        part = page.locator(f"[data-part={places}]")
        assert part.count() == 1
        rgb = ", ".join(str(round(255 * value)) for value in to_rgb(expected))
        assert part.evaluate("e => getComputedStyle(e).fill") == f"rgb({rgb})"


def test_the_heatmap_is_that_of_its_model_and_fades_with_the_slider(visit, cases):
    page = visit("#case=2_5")
    place = middle(cases["2_5"].truth)
    for box in ("Annotation", "U-Net", "Shipped"):
        page.get_by_label(box, exact=True).uncheck()
    plain = colour_at(page, *place)
    choice(page, "Heatmap").select_option(label="probability, U-Net")
    eventually(lambda: colour_at(page, *place)[0] - colour_at(page, *place)[2] > 0.3), "yellow where it is sure"
    assert page.get_by_text("Probability of nerve").is_visible()
    page.get_by_label("Opacity").fill("0")
    assert colour_at(page, *place) == pytest.approx(plain, abs=0.03)
    page.get_by_label("Opacity").fill("100")
    choice(page, "Heatmap").select_option(label="probability, Shipped")
    nothing = lambda: colour_at(page, *place) == pytest.approx(plain, abs=0.03)  # noqa: E731
    eventually(nothing), "the shipped model saw nothing there"


def test_a_swipe_shows_one_prediction_left_and_the_other_right(visit, cases):
    page = visit("#case=2_5")
    page.get_by_label("Annotation").uncheck()
    assert page.get_by_label("at", exact=True).is_disabled()
    page.get_by_label("Swipe between").check()
    sky = to_rgb(LOOKS["unet"].on_frame)

    def seen():
        picture = stage(page)
        return np.flatnonzero((np.abs(picture - sky).max(axis=-1) < 0.15).any(axis=0)) * SIZE[1] / picture.shape[1]

    across = np.flatnonzero(cases["2_5"].truth.any(axis=0))
    cut = int(np.median(across))
    slider = page.get_by_label("at", exact=True)
    slider.fill(str(round(100 * cut / SIZE[1])))
    assert seen().min() == pytest.approx(across.min(), abs=2)
    assert seen().max() <= cut + 1.5
    slider.focus()
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    assert seen().max() == pytest.approx(across.max(), abs=2)
    assert shown(page) == "2_5", "the slider's keys are its own"
    choice(page, "left").select_option(label="Shipped")
    assert seen().size == 0


def test_a_frame_is_zoomed_and_moved_by_keys_buttons_and_mouse(visit):
    page = visit()
    level = page.locator("#zoom-level")
    place = "getComputedStyle(document.getElementById('moved')).transform"
    page.get_by_role("button", name="Zoom in").click()
    assert level.inner_text() == "150 %"
    page.locator("#stage").focus()
    page.keyboard.press("+")
    assert level.inner_text() == "225 %"
    before = page.evaluate(place)
    page.keyboard.press("Shift+ArrowRight")
    moved = page.evaluate(place)
    assert moved != before
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 130)
    page.mouse.up()
    assert page.evaluate(place) not in {before, moved}
    page.keyboard.press("0")
    assert level.inner_text() == "100 %"
    assert page.evaluate(place) == "matrix(1, 0, 0, 1, 0, 0)"
    page.keyboard.press("-")
    assert level.inner_text() == "100 %", "the whole frame is the least"


def test_a_point_of_a_chart_leads_to_its_case(visit, cases):
    page = visit()
    eventually(lambda: page.evaluate("Boolean(window.Chart && Chart.getChart('chart-by-size'))"))
    page.locator("#chart-by-size").scroll_into_view_if_needed()
    number = list(cases).index("2_5")  # alone down there
    x, y = page.evaluate(
        f"(() => {{ const p = Chart.getChart('chart-by-size').getDatasetMeta(0).data[{number}]; return [p.x, p.y]; }})()"
    )
    page.locator("#chart-by-size").click(position={"x": x, "y": y})
    eventually(lambda: shown(page) == "2_5")
    choice(page, "Shown:").select_option("none")
    assert page.evaluate("Chart.getChart('chart-by-size').data.datasets.length") == 0


def test_links_stay_at_the_top_and_lead_to_the_part_that_they_name(visit):
    page = visit()
    for name, place in (("Scores", "scores"), ("Cases", "cases"), ("Parameters", "parameters")):
        page.get_by_role("navigation").get_by_role("link", name=name).click()
        bar = page.get_by_role("navigation").bounding_box()
        assert bar["y"] == 0
        assert page.locator(f"#{place}").bounding_box()["y"] >= bar["height"] - 1


def test_on_a_phone_whole_pictures_are_seen_and_no_keys_are_spoken_of(visit):
    assert visit().locator("kbd").first.is_visible()
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    box = page.get_by_role("img", name="Figure: A figure").bounding_box()
    assert 300 < box["width"] < 390
    assert not any(key.is_visible() for key in page.locator("kbd").all())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_wider_than_the_window_has_a_shadow_at_the_edge_where_it_goes_on(visit, scheme):
    page = visit(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    table = page.get_by_role("region", name="Table of scores")
    table.evaluate("e => e.querySelectorAll('td').forEach((cell) => { cell.style.minWidth = '20rem'; })")

    def shade():
        """How far the right edge differs from what lies 30 pixels before it."""
        lines = np.asarray(Image.open(io.BytesIO(table.screenshot())).convert("L")).astype(float)[10:-10]
        return abs(np.median(lines[:, -3]) - np.median(lines[:, -30]))

    assert shade() > 25
    table.evaluate("e => { e.scrollLeft = e.scrollWidth; }")
    assert shade() < 3


def top(page, place):
    return page.locator(place).evaluate("e => e.getBoundingClientRect().top")


def test_on_a_phone_the_filters_stand_over_the_list_and_a_chosen_row_brings_its_frame_into_view(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert top(page, "#filters") < top(page, "#case-list") < top(page, "#viewer")
    assert page.locator("#case-list").bounding_box()["height"] < 500, "else the frame is far below it"
    for _ in ("the first time", "and again"):
        page.get_by_role("link", name="10_3").click()
        eventually(lambda: shown(page) == "10_3" and 0 <= top(page, "#viewer") < 100)
        page.get_by_role("navigation").get_by_role("link", name="Cases").click()
        eventually(lambda: 0 <= top(page, "#cases") < 100)


def test_on_a_phone_an_address_leads_to_its_frame_or_to_the_remark_that_there_is_none(visit):
    phone = {"viewport": {"width": 390, "height": 844}}
    page = visit("#case=2_1", **phone)
    eventually(lambda: 0 <= top(page, "#viewer") < 100)
    page = visit("#case=77_7", **phone)
    eventually(lambda: 0 <= top(page, "#unknown") < 844)


def test_beside_the_list_a_chosen_row_does_not_move_the_page(visit):
    page = visit()
    row = page.get_by_role("link", name="10_3")
    row.scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    row.click()
    eventually(lambda: shown(page) == "10_3")
    assert page.evaluate("scrollY") == before


@pytest.mark.parametrize("width", [1280, 390])
def test_the_search_box_has_room_for_what_it_asks(visit, width):
    box = visit(viewport={"width": width, "height": 844}).get_by_label("Find")
    box.fill(box.get_attribute("placeholder"))
    assert box.evaluate("e => e.scrollWidth - e.clientWidth") <= 0


def test_on_a_phone_the_whole_table_of_gains_is_seen(visit):
    page = visit(viewport={"width": 390, "height": 844})
    table = page.get_by_role("region", name="Table of the ablation")
    assert table.evaluate("e => e.scrollWidth - e.clientWidth") <= 0


def test_the_uncertainty_says_of_what_it_is(visit):
    page = visit()
    choice(page, "Heatmap").select_option(label="uncertainty, Shipped")
    assert "mean probability of the frame and its mirror image" in page.locator("#bar-label").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1360, 390])
def test_axe_finds_no_serious_fault_and_nothing_is_wider_than_the_window(visit, scheme, width):
    page = visit("#case=2_1", color_scheme=scheme, viewport={"width": width, "height": 844}, bypass_csp=True)
    choice(page, "Heatmap").select_option(label="uncertainty, Shipped")
    page.get_by_label("Swipe between").check()
    found = Axe().run(page)
    serious = [fault for fault in found.response["violations"] if fault["impact"] in {"serious", "critical"}]
    assert [(fault["id"], [node["html"][:120] for node in fault["nodes"]]) for fault in serious] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_cannot_call_anyone(chromium, address):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1.0)
        elsewhere = f"http://127.0.0.1:{server.getsockname()[1]}/"
        page = chromium.new_page()
        page.goto(address)
        assert page.evaluate(f"fetch('{elsewhere}').catch((error) => error.message)") == "Failed to fetch"
        page.evaluate(f"document.body.append(Object.assign(new Image(), {{ src: '{elsewhere}a.png' }}))")
        page.evaluate(f"navigator.sendBeacon('{elsewhere}', 'frame')")
        with pytest.raises(TimeoutError):
            server.accept()
        page.evaluate(
            f"location = '{elsewhere}'"
        )  # a reader's own step is another thing, and shows that someone listens
        server.accept()[0].close()
        page.close()


def test_without_javascript_scores_and_figures_stand_and_the_rest_is_explained(visit):
    page = visit(java_script_enabled=False)
    assert page.get_by_text("JavaScript must be switched on").is_visible()
    assert page.get_by_role("img", name="Figure: A figure").is_visible()
    assert not page.locator("#browser").is_visible()
