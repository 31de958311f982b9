"""The page of `dvc plots show`, which .dvc/config names, as DVC fills it, and the templates that dvc.yaml names."""

import re
from collections import Counter
from configparser import ConfigParser

import pytest
import yaml
from dvc_render.html import render_html
from dvc_render.vega import VegaRenderer

from paths import ROOT

DVC_YAML = yaml.safe_load((ROOT / "dvc.yaml").read_text())
OF_STAGES = [next(iter(plot.items())) for stage in DVC_YAML["stages"].values() for plot in stage.get("plots", [])]
OF_COLUMNS = {title: plot for each in DVC_YAML["plots"] for title, plot in each.items()}
OF_NO_MODEL = {"intervals_by_score", "lines_by_column"}
MODELS = {"unet": "#0072B2", "exported": "#D55E00"}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    config = ConfigParser()
    config.read(ROOT / ".dvc" / "config")
    points = [{"epoch": 1, "dice": 0.5, "rev": "main"}, {"epoch": 2, "dice": 0.75, "rev": "main"}]
    path = tmp_path_factory.mktemp("plots") / "index.html"
    render_html(
        [VegaRenderer(points, "dice.csv", x="epoch", y="dice")],
        path,
        str(ROOT / ".dvc" / config["plots"]["html_template"].strip()),
    )
    return path


@pytest.fixture(scope="module")
def page(path):
    return path.read_text()


@pytest.fixture
def drawn(chromium, path):
    """Draw points by a template as Vega does, and return the picture's text, its colours, and its number of points."""
    tab, heard = chromium.new_page(), []
    tab.on("console", lambda message: heard.append(message.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.goto(path.as_uri())
    heard.clear()

    def draw(template, points, **properties):
        spec = VegaRenderer(
            points, "plot", template=template, template_dir=str(ROOT / ".dvc" / "plots"), **properties
        ).get_filled_template()
        return tab.evaluate(
            """async (spec) => {
              await vegaEmbed(document.body, spec, { renderer: "svg", actions: false });
              const marks = document.querySelectorAll("g[class*='role-mark'] path, .mark-symbol[class*='role-mark'] path");
              const colours = [...marks].flatMap((mark) => [mark.getAttribute("stroke"), mark.getAttribute("fill")]);
              return [document.body.textContent, [...new Set(colours)].filter((colour) => /^#/.test(colour)),
                document.querySelectorAll(".mark-symbol.role-mark path").length];
            }""",
            spec,
        )

    yield draw
    tab.close()
    assert heard == []


def test_it_loads_nothing_so_that_it_opens_without_a_network(page):
    own = re.sub(r"<script>/\*!.*?</script>", "", page, flags=re.DOTALL)  # what the libraries may write does not count
    assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=", own)
    for library in ("vega", "vega-lite", "vega-embed"):
        assert re.search(rf"<script>/\*! {library} \d", page)


def test_the_plots_are_on_it(page):
    body = page[page.index("<body>") :]
    assert '"dice": "0.75"' in body or '"dice": 0.75' in body
    assert "{plot_divs}" not in body


def test_no_column_is_drawn_in_two_plots():
    columns = [(file, plot["y"]) for file, plot in OF_STAGES]
    for plot in OF_COLUMNS.values():
        columns += [(file, column) for file, names in plot["y"].items() for column in names]
    assert [column for column, times in Counter(columns).items() if times > 1] == []


def test_every_template_is_one_of_ours():
    for _, plot in [*OF_STAGES, *OF_COLUMNS.items()]:
        assert (ROOT / ".dvc" / "plots" / f"{plot['template']}.json").exists(), plot["template"]


@pytest.mark.slow
@pytest.mark.parametrize("title", OF_COLUMNS)
def test_each_curve_of_a_plot_has_a_colour_of_its_own_and_begins_where_it_has_a_value(drawn, title):
    ((_, columns),) = OF_COLUMNS[title]["y"].items()
    points = [
        {"epoch": epoch, "value": "" if epoch == 0 else str(epoch / 9), "field": column, "rev": rev}
        for epoch in range(4)
        for column in columns
        for rev in ("main", "workspace")
    ]
    text, colours, count = drawn(OF_COLUMNS[title]["template"], points, x="epoch", y="value", title=title)
    assert len(colours) == len(columns)
    assert all(column in text for column in columns)
    assert count == 3 * 2 * len(columns), "an empty value is not 0"


@pytest.mark.slow
@pytest.mark.parametrize("template", sorted({plot["template"] for _, plot in OF_STAGES} - OF_NO_MODEL))
def test_a_legend_names_the_models_that_there_are_and_each_has_its_colour(drawn, template):
    panel = {"degradation": "blur", "stratum": "size", "rev": "main"}
    points = [panel | {"x": str(n), "y": str(n / 9), "model": model} for n in range(3) for model in MODELS]
    text, colours, _ = drawn(template, points, x="x", y="y", title="Dice")
    assert set(MODELS.values()) <= set(colours)
    assert all(model in text for model in MODELS)
    assert "ensemble" not in text
    assert "control" not in text
