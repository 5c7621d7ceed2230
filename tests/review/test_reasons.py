"""Reasons of a likelihood in words."""

from __future__ import annotations

import pytest

from jwt_lp.review.analysis.likelihood import _FEATURES, GrantFeatures
from jwt_lp.review.analysis.reasons import describe_feature, explain_likelihood

PAIR = GrantFeatures(400, 3, 99, 499, None, 2, 0.25)


def test_every_feature_has_its_words() -> None:
    """Every feature has a description, with its number in the one format."""
    once = PAIR._replace(idle=4093, days=1, span=0, elsewhere_idle=1, elsewhere_recent=1)
    words = [(describe_feature(name, PAIR), describe_feature(name, once)) for name in _FEATURES]
    assert [
        ("not used for 400 days", "not used for 4,093 days"),
        ("used on 3 days within 100 days", "used on 1 day within 1 day"),
        ("not used for 7.9 times its usual pause", "used only once"),
        ("used on 3 days within 100 days", "used on 1 day within 1 day"),
        ("the holder never used another grant", "the holder last used another grant 1 day ago"),
        ("the holder used 2 other grants within a year", "the holder used 1 other grant within a year"),
        ("25 % of the other active holders used it within a year",) * 2,
    ] == words


@pytest.mark.parametrize(
    ("idle", "words"),
    [
        (32, "not used for less than its usual pause"),
        (33, "not used for 1.0 times its usual pause"),
        (320, "not used for 9.7 times its usual pause"),
        (330, "not used for much longer than its usual pause"),
    ],
)
def test_a_long_pause_is_rounded(idle: int, words: str) -> None:
    """The pace is a number only where it is between 1 and 10 usual pauses, here of 33 days."""
    assert words == describe_feature("pace", GrantFeatures(idle, 3, 64, idle + 64, None, 2, 0.25))


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"idle": -2.0, "others": 1.0}, ["for idle", "against others"]),
        ({"idle": -1.0, "others": 2.0, "days": 0.5, "pace": -0.1}, ["against others", "for idle", "against days"]),
        (
            {"idle": -4.0, "elsewhere": -3.0, "pace": -2.0, "others": 0.1, "days": 0.2},
            ["for idle", "for elsewhere", "against days"],
        ),
        ({"idle": -4.0, "elsewhere": -3.0, "pace": -2.0, "others": -1.0}, ["for idle", "for elsewhere", "for pace"]),
        ({"idle": 0.0}, []),
        ({"days": -1.0, "span": -2.0}, ["for span"]),
    ],
)
def test_the_strongest_of_each_direction_is_a_reason(weights: dict[str, float], expected: list[str]) -> None:
    """Three reasons, the strongest first, with the strongest against removal, or for it, among them."""
    reasons = explain_likelihood(weights.items(), PAIR)
    assert expected == [f"{reason.direction} {reason.feature}" for reason in reasons]
    assert [weights[reason.feature] for reason in reasons] == [reason.weight for reason in reasons]
    heads = {"for": "for removal: ", "against": "against: "}
    assert [heads[reason.direction] + reason.sentence for reason in reasons] == list(map(str, reasons))
