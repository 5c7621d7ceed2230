"""The words and the small time line of an item."""

from __future__ import annotations

from typing import Any

import pytest

from jwt_lp.campaigns import CampaignItemView
from jwt_lp.console.item_words import SpanPicture, describe_item, likelihood_words, show_item, span_picture, way_words
from review_factory import make_finding

DAY = "2026-11-01"


@pytest.mark.parametrize(
    ("likelihood", "bound", "words"),
    [
        (None, None, "not known"),
        (0.0, 0.004, "almost no chance (0 %, at most 0.4 % in 19 of 20 cases)"),
        (0.05, None, "very unlikely (5 %)"),
        (0.3, None, "unlikely (30 %)"),
        (0.5, None, "roughly an even chance (50 %)"),
        (0.79, None, "likely (79 %)"),
        (0.9, None, "very likely (90 %)"),
        (0.99, None, "almost certain (99 %)"),
    ],
)
def test_a_likelihood_has_a_word_and_its_numbers(likelihood: Any, bound: Any, words: str) -> None:
    """The words are those of ICD 203, and the number is always beside them."""
    assert words == likelihood_words(make_finding(likelihood=likelihood, likelihood_bound=bound))


@pytest.mark.parametrize(
    ("finding", "way"),
    [
        ({}, "granted directly"),
        ({"role": "clerk"}, "through the role clerk"),
        (
            {"name": "clerk", "of": "role", "members": 3, "users": 1},
            "a grant of the role, which has 3 members; 1 used it",
        ),
    ],
    ids=["direct", "role", "of a role"],
)
def test_the_way_to_a_grant_is_said(finding: dict[str, Any], way: str) -> None:
    """A grant is held directly, or through a role, or is a role's own."""
    assert way == way_words(make_finding(**finding))


@pytest.mark.parametrize(
    ("finding", "picture"),
    [
        ({}, None),
        (
            {"held_since": "2025-11-01", "first_day": "2026-05-02", "last_day": "2026-11-01"},
            SpanPicture(0, 80, 160, "held since 2025-11-01, last used on 2026-11-01"),
        ),
        ({"held_since": "2025-11-01"}, SpanPicture(0, None, None, "held since 2025-11-01, never used")),
        ({"last_day": "2026-10-01"}, SpanPicture(0, 0, 0, "known since 2026-10-01, last used on 2026-10-01")),
        (
            {"held_since": "1999-01-01", "last_day": "2000-01-01"},
            SpanPicture(0, 0, 0, "held since 1999-01-01, last used on 2000-01-01"),
        ),
        ({"held_since": DAY}, SpanPicture(0, None, None, f"held since {DAY}, never used")),
        ({"held_since": "2027-01-01"}, SpanPicture(0, None, None, "held since 2027-01-01, never used")),
    ],
    ids=["nothing known", "a year", "never used", "from tokens", "long ago", "today", "later"],
)
def test_the_small_time_line_stays_in_its_picture(finding: dict[str, Any], picture: SpanPicture | None) -> None:
    """It begins with the first known day, at most three years before the review, and ends with the review."""
    assert picture == span_picture(make_finding(**finding), DAY)


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        ({"proposal": "remove"}, "remove"),
        ({"proposal": "narrow", "instead": ("a:b", "a:c")}, "narrow to a:b a:c"),
        ({"proposal": "keep"}, "keep"),
        ({"proposal": "keep", "guards": ("new",)}, "keep, because something speaks against the removal"),
    ],
)
def test_the_proposal_is_said_and_narrowing_needs_something_narrower(finding: dict[str, Any], words: str) -> None:
    """A reviewer can narrow only where the review says to what."""
    made = make_finding(**finding)
    view = CampaignItemView(
        campaign="c", id=made.id, part="", position=0, group="", finding=made, decision=None, version=0
    )
    shown = show_item(view, DAY)
    assert words == shown.proposal
    assert ("narrow" in dict(shown.choices)) == bool(made.instead)
    assert ("remove",) == tuple(dict(show_item(view, DAY, no_keeping="a role of one's own").choices))


def test_an_item_is_named_in_one_line() -> None:
    """Its holder, what is held, and the role."""
    assert "alice: all grants through clerk" == describe_item(make_finding(grant="", role="clerk"))
    assert "Ann: orders:read" == describe_item(make_finding(person_name="Ann"))
    assert "nobody: orders:read" == describe_item(make_finding(name=""))
