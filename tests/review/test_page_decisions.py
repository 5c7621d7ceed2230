"""The decisions of a review's page in a real browser, on a telephone and on a desk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chromium import chromium
from jwt_lp.review.plan.decision_groups import sort_out
from jwt_lp.review.report import render
from review_factory import make_finding, make_review

pytestmark = pytest.mark.browser

OLD = {"idle": 800, "risk": "low", "likelihood": 0.001, "likelihood_bound": 0.004, "score": 20}
REVIEW = make_review(
    *(make_finding(f"s{number}", "orders:read", **OLD) for number in range(9)),
    *(make_finding(f"{'long' * 30}{n}", "orders:refund", verdict="leaver", left="2026-10-01") for n in range(3)),
    make_finding("ann", "orders:export", **{**OLD, "risk": "high", "likelihood": 0.5, "score": 90}, person_name="Ann"),
    make_finding("<b>bob", "a:" + "x" * 200, **{**OLD, "risk": "high", "likelihood": 0.4, "score": 80}),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.mark.parametrize("width", [390, 1440])
def test_decisions_come_first_and_fit(browser, tmp_path, width) -> None:
    """Groups and questions stand before the list, nothing scrolls sideways, and names are no markup."""
    (tmp_path / "page.html").write_text(render(REVIEW, "html"), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((tmp_path / "page.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    groups = page.locator(".obvious li").all_inner_texts()
    assert [each.id for each in sort_out(REVIEW.findings).groups] == [text.split()[-1] for text in groups]
    assert page.get_by_text(
        "4 decisions about 14 findings: 2 groups of obvious removals save 10 decisions."
    ).is_visible()
    section = page.inner_text("#findings")
    ask, first, second = section.index("Ask first"), section.index("Ann"), section.index("<b>bob")
    assert section.index("Decide at once") < ask < first < second
    assert 0 == page.locator("#findings b b").count()
    assert not [name for name in page.locator("#findings b").all_inner_texts() if name.startswith("bob")]
    for box in page.locator("#findings .obvious li, #findings ol li").all():
        placed = box.bounding_box()
        assert placed["x"] >= 0
        assert placed["x"] + placed["width"] <= width
    page.close()
