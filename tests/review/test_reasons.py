"""Reasons of a likelihood in words."""

from __future__ import annotations

import pytest

from jwt_lp.review.analysis.grant_features import FEATURES, GrantFeatures
from jwt_lp.review.analysis.reasons import describe_feature, explain_likelihood

PAIR = GrantFeatures(400, 3, 99, 499, None, 2, 0.25, 600, 1200, 3)


def test_every_feature_has_its_words() -> None:
    """Every feature has a description, with its number in the one format."""
    once = PAIR._replace(idle=4093, days=1, span=0, elsewhere_idle=1, elsewhere_recent=1, elsewhere_grants=1)
    nothing = ("the holder has used nothing for 400 days", "the holder has used nothing for 1 day")
    assert {
        "idle": ("not used for 400 days", "not used for 4,093 days"),
        "span": ("used on 3 days within 100 days", "used on 1 day within 1 day"),
        "elsewhere": ("the holder never used another grant", "the holder last used another grant 1 day ago"),
        "breadth": (
            "the holder used 2 other grants within a year",
            "the holder used 1 other grant within a year",
        ),
        "others": ("25 % of the other active holders used it within a year",) * 2,
        "holder_idle": nothing,
        "holder_pause": nothing,
        "grants": ("the holder has used 3 other grants so far", "the holder has used 1 other grant so far"),
        "rate": ("used on 3 days within 100 days", "used on 1 day within 1 day"),
        "holder_rate": (
            "the holder has used its grants 1,203 times in 600 days",
            "the holder has used its grants 1,201 times in 600 days",
        ),
        "quiet": nothing,
    } == {name: (describe_feature(name, PAIR), describe_feature(name, once)) for name in FEATURES}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"idle": -2.0, "others": 1.0}, ["for idle", "against others"]),
        ({"idle": -1.0, "others": 2.0, "span": 0.5, "grants": -0.1}, ["against others", "for idle", "against span"]),
        (
            {"idle": -4.0, "elsewhere": -3.0, "quiet": -2.0, "others": 0.1, "span": 0.2},
            ["for idle", "for elsewhere", "against span"],
        ),
        ({"idle": -4.0, "elsewhere": -3.0, "quiet": -2.0, "others": -1.0}, ["for idle", "for elsewhere", "for quiet"]),
        ({"idle": 0.0}, []),
        ({"rate": -1.0, "span": -2.0}, ["for span"]),
    ],
)
def test_the_strongest_of_each_direction_is_a_reason(weights: dict[str, float], expected: list[str]) -> None:
    """Three reasons, the strongest first, with the strongest against removal, or for it, among them."""
    reasons = explain_likelihood(weights.items(), PAIR)
    assert expected == [f"{reason.direction} {reason.feature}" for reason in reasons]
    assert [weights[reason.feature] for reason in reasons] == [reason.weight for reason in reasons]
    heads = {"for": "for removal: ", "against": "against: "}
    assert [heads[reason.direction] + reason.sentence for reason in reasons] == list(map(str, reasons))
