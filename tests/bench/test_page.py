"""Tests of the page about the benchmarks, and of its charts."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks.charts import Bar, Chart, charts
from benchmarks.figures import Figure, SectionResult, load
from benchmarks.page import FOLDER, PAGE, RESULTS, rendered
from benchmarks.rounds import Distribution
from benchmarks.sections import SECTIONS
from benchmarks.tables import markdown

SVG = "{http://www.w3.org/2000/svg}"


def test_the_page_shows_the_figures_of_the_file() -> None:
    """Page and charts are what `make bench-page` would write, so no figure on the page was written by hand."""
    files = rendered(load(RESULTS), PAGE.read_text(encoding="utf-8"))
    assert [] == [path.name for path, text in files.items() if path.read_text(encoding="utf-8") != text]
    assert sorted(path.name for path in files if path != PAGE) == sorted(path.name for path in FOLDER.glob("*.svg"))


def test_the_page_has_one_place_for_each_section() -> None:
    """A section without a place would be measured and not shown."""
    page = PAGE.read_text(encoding="utf-8")
    for wrong in (page.replace("<!-- figures: warm -->", ""), page.replace("figures: warm", "figures: tepid")):
        with pytest.raises(ValueError, match="the page has places for the figures of"):
            rendered({}, wrong)
    assert len(SECTIONS) == rendered({}, page)[PAGE].count("Not measured yet.")


def test_a_table_leaves_empty_columns_out() -> None:
    """Figures that were measured once have no quartiles."""
    table = markdown("live_tokens", SectionResult((Figure.of_value("memory", "MB", 7.46),)))
    assert "| measured | figure |\n| --- | --- |\n| memory | 7.46 MB |" == table


def test_a_figure_is_shown_with_its_floor() -> None:
    """The floor is that of the table which `make bench-check` reads."""
    value = Distribution(1.42, 1.4, 1.5)
    figure = Figure(what="RS256", against="PyJWT", unit="times", value=value, quiet=1.45, ours=6e-5, theirs=0.02)
    *_, row = markdown("cold", SectionResult((figure,))).splitlines()
    assert "| RS256 | PyJWT | 1.42 times as fast | 1.40 to 1.50 | 1.45 | 60.0 µs | 20.0 ms | at least 1.8 |" == row


def _texts(chart: str) -> list[tuple[float, float, float]]:
    """Left and right end and height of every text, with room for wide letters."""
    places = []
    for text in ET.fromstring(chart).iter(f"{SVG}text"):
        width = 7.0 * len(text.text or "")
        start = float(text.attrib["x"]) - (width if text.attrib.get("text-anchor") == "end" else 0)
        places.append((start, start + width, float(text.attrib["y"])))
    return places


def _overlap(one: tuple[float, float, float], other: tuple[float, float, float]) -> bool:
    return one[0] < other[1] and other[0] < one[1] and abs(one[2] - other[2]) < 14


def test_labels_of_charts_do_not_overlap() -> None:
    """Neither each other nor the edges, also with long labels and with bars of nothing."""
    groups = [
        ("first", [Bar("a label that is rather long, as names of libraries are", 0.0, "0.0 µs"), Bar("b", 5.0, "5.0")]),
        ("second", [Bar("c", 2.0, "2,000.0 µs", ours=False, floor=5.5)]),
    ]
    made = [Chart("made-up", "A title & more", "A note < that >", groups), *charts(load(RESULTS))]
    for chart in made:
        svg = chart.svg()
        texts = _texts(svg)
        width = float(ET.fromstring(svg).attrib["width"])
        assert all(0 <= start and end <= width for start, end, _ in texts), chart.name
        assert [] == [(a, b) for i, a in enumerate(texts) for b in texts[:i] if _overlap(a, b)], chart.name


def test_charts_are_readable_on_a_dark_page() -> None:
    """Every colour has another one for a dark page, and nothing runs or is loaded."""
    svg = Chart("made-up", "t", "n", [("g", [Bar("a", 1.0, "1", floor=0.5)])]).svg()
    light, _, dark = svg.partition("prefers-color-scheme: dark")
    classes = set(re.findall(r"^\.(\w+) \{ (?:fill|stroke)", light, re.MULTILINE))
    assert classes - {"axis"} <= set(re.findall(r"^  \.(\w+) \{", dark, re.MULTILINE))
    assert not re.search(r"<script|href|url\(|@import", svg)
