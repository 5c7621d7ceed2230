"""Markup of the pictures: text for those who do not see them, and nothing that a name could add."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("starlette", reason="the console needs Starlette")
pytest.importorskip("jinja2", reason="the console needs Jinja2")

from jwt_lp.console.answers import _environment
from jwt_lp.console.pictures.bars import build_bar
from jwt_lp.console.pictures.burn_down import build_burn_down
from jwt_lp.console.pictures.matrix import build_matrix
from jwt_lp.console.pictures.months import build_months
from jwt_lp.console.pictures.tradeoff import build_tradeoff
from jwt_lp.console.pictures.trend import build_trend
from jwt_lp.console.pictures.use_over_time import build_strip
from jwt_lp.review.findings import Backtest, BacktestedSetting

HOSTILE = '"><script>alert(1)</script>\u202e\x07]]>'
HUGE = 2**63 - 1
SETTINGS = (
    BacktestedSetting("fixed", 90, 100, 10, 4000),
    BacktestedSetting("fixed", 180, 80, 2, HUGE),
    BacktestedSetting("likelihood", 0.05, 90, 1, 5000),
    BacktestedSetting("likelihood", 0.1, 95, 3, 3000),
)
BACKTEST = Backtest(
    horizon=365, first_review="2026-01-01", last_day="2026-10-01", pairs=10, regret=None, settings=SETTINGS,
    recommended=SETTINGS[2], in_force=SETTINGS[0],
)  # fmt: skip
ONE = Backtest(
    horizon=365, first_review="2026-01-01", last_day="2026-10-01", pairs=10, regret=None, settings=SETTINGS[:1],
    recommended=None, in_force=SETTINGS[1],
)  # fmt: skip
DAYS = [("2026-10-05", 3), ("2026-11-29", HUGE)]

PICTURES: dict[str, tuple[str, Any, tuple[str, ...]]] = {
    # the macro, the value, and what has to be readable beside the picture
    "bar": ("share_bar", build_bar([("used", HOSTILE, HUGE), ("unused", "idle", 1)]), (f"{HUGE:,}", "idle")),
    "empty bar": ("share_bar", build_bar([("used", "needed", 0)]), ("needed",)),
    "matrix": ("matrix", build_matrix([(HOSTILE, "a:b", 7, 0), ("clerk", HOSTILE, 9, 8)]), ("a:b", "clerk", "9", "8")),
    "large matrix": (
        "matrix",
        build_matrix((f"role-{role}", f"g{grant}:read", 5, grant % 3) for role in range(40) for grant in range(30)),
        ("16 more roles", "10 more grants"),
    ),
    "months": ("months", build_months([("2026-10-01", HUGE, 0, 2), ("2026-11-01", 4, 0, 0)]), ("2026-10", f"{HUGE:,}")),
    "many months": ("months", build_months([(f"19{n:02}-01-01", n, 1, 0) for n in range(99)]), ("39 earlier months",)),
    "strip": ("strip", build_strip(DAYS, "2026-09-01", "2026-11-30"), ("2026-11-29", f"{HUGE:,}")),
    "weeks": ("strip", build_strip(DAYS, "2026-01-01", "2026-11-30"), ("2026-11-23", "Week")),
    "empty strip": ("strip", build_strip([], "2026-09-01", "2026-11-30"), ("Not used from 2026-09-01",)),
    "small strip": ("small_strip", build_strip(DAYS, "2026-09-01", "2026-11-30", small=True), ()),
    "trade-off": ("tradeoff", build_tradeoff(BACKTEST), ("90 days unused", "in force", "recommended", f"{HUGE:,}")),
    "one setting": ("tradeoff", build_tradeoff(ONE), ("90 days unused",)),
    "burn-down": (
        "burn_down",
        build_burn_down(items=HUGE, by_day=[("2026-11-02", 5)], made_at=1.7934e9, deadline=1.795e9, now=1.794e9),
        ("2026-11-02", f"{HUGE - 5:,}"),
    ),
    "fresh burn-down": ("burn_down", build_burn_down(items=9, by_day=[], made_at=0, deadline=9e6, now=0), ("9",)),
    "trend": ("trend", build_trend([("2026-01-01", HUGE, 4), ("2026-10-01", 10, 9)]), ("90 %", f"{HUGE:,}")),
    "one review": ("trend", build_trend([("2026-10-01", 10, 9)]), ("90 %",)),
}


def _render(name: str) -> str:
    macro, value, _ = PICTURES[name]
    call = "pictures.small_strip('x', value)" if macro == "small_strip" else f"pictures.{macro}('x', title, value)"
    template = _environment().from_string('{% import "_pictures.html" as pictures %}{{ ' + call + " }}")
    return template.render(value=value, title=HOSTILE)


def _parse(html: str) -> ET.Element:
    # The parts that HTML writes otherwise than XML.
    return ET.fromstring(f"<div>{html}</div>")


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_labelled_and_holds_no_foreign_markup(name) -> None:
    """Each picture is an image with a title that says something, and has no script, no style and no handler."""
    root = _parse(_render(name))
    images = [each for each in root.iter("svg") if each.get("aria-hidden") != "true"]
    ids = {each.get("id"): "".join(each.itertext()) for each in root.iter() if each.get("id")}
    for image in images:
        assert "img" == image.get("role")
        named = (image.get("aria-labelledby") or "").split()
        assert named
        assert all(ids[each].strip() for each in named)
    assert (name == "empty bar") == (not images)
    elements = list(root.iter())
    assert set() == {each.tag for each in elements} & {"script", "style", "a", "image", "foreignObject"}
    assert [] == [key for each in elements for key in each.attrib if key == "style" or key.startswith("on")]


@pytest.mark.parametrize("name", PICTURES)
def test_the_numbers_of_a_picture_are_text_beside_it(name) -> None:
    """What a picture shows is readable outside of it too, and a hostile name is escaped in every place."""
    html = _render(name)
    beside = "".join(_parse(re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL)).itertext())
    assert [] == [text for text in PICTURES[name][2] if text not in beside]
    assert ("<script", "\u202e", "\x07") == tuple(text for text in ("<script", "\u202e", "\x07") if text not in html)


@pytest.mark.parametrize("name", PICTURES)
def test_everything_is_drawn_inside_of_the_picture(name) -> None:
    """No rectangle, circle or line leaves the picture, however large the numbers are."""
    for image in _parse(_render(name)).iter("svg"):
        _, _, width, height = map(float, image.attrib["viewBox"].split())
        for each in image.iter("rect"):
            right = float(each.get("x", 0)) + float(each.attrib["width"])
            bottom = float(each.get("y", 0)) + float(each.attrib["height"])
            assert 0 <= float(each.get("x", 0)) <= right <= width + 0.2
            assert 0 <= float(each.get("y", 0)) <= bottom <= height + 0.2
        for each in image.iter("circle"):
            assert 0 <= float(each.attrib["cx"]) <= width
            assert 0 <= float(each.attrib["cy"]) <= height
        for each in image.iter("polyline"):
            points = [tuple(map(float, point.split(","))) for point in each.attrib["points"].split()]
            assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
