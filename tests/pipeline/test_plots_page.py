"""The page of `dvc plots show`, which .dvc/config names, as DVC fills it."""

import re
from configparser import ConfigParser

import pytest
from dvc_render.html import render_html
from dvc_render.vega import VegaRenderer

from paths import ROOT


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    config = ConfigParser()
    config.read(ROOT / ".dvc" / "config")
    points = [{"epoch": 1, "dice": 0.5, "rev": "main"}, {"epoch": 2, "dice": 0.75, "rev": "main"}]
    path = tmp_path_factory.mktemp("plots") / "index.html"
    render_html(
        [VegaRenderer(points, "dice.csv", x="epoch", y="dice")],
        path,
        str(ROOT / ".dvc" / config["plots"]["html_template"].strip()),
    )
    return path.read_text()


def test_it_loads_nothing_so_that_it_opens_without_a_network(page):
    own = re.sub(r"<script>/\*!.*?</script>", "", page, flags=re.DOTALL)  # what the libraries may write does not count
    assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=", own)
    for library in ("vega", "vega-lite", "vega-embed"):
        assert re.search(rf"<script>/\*! {library} \d", page)


def test_the_plots_are_on_it(page):
    body = page[page.index("<body>") :]
    assert '"dice": "0.75"' in body or '"dice": 0.75' in body
    assert "{plot_divs}" not in body
