"""Reasons of a likelihood in words: what speaks for a removal, and what against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jwt_lp.review.findings import Reason
from jwt_lp.review.quantities import count_noun, count_times, format_percent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.review.analysis.grant_features import GrantFeatures

_MOST: Final = 3


def explain_likelihood(contributions: Iterable[tuple[str, float]], features: GrantFeatures) -> tuple[Reason, ...]:
    """The three strongest reasons, the strongest first; the strongest of each direction is among them.

    `contributions` has for each feature of the model its effect on the logarithm of the odds of need, compared with the
    average past case.
    """
    ordered = sorted(((name, weight) for name, weight in contributions if weight), key=lambda part: -abs(part[1]))
    reasons: dict[str, Reason] = {}
    for name, weight in ordered:
        sentence = describe_feature(name, features)
        # Two features may have the same words: the stronger one has them.
        reasons.setdefault(sentence, Reason(name, "against" if weight > 0 else "for", weight, sentence))
    listed = list(reasons.values())
    chosen = listed[:_MOST]
    if len(chosen) == _MOST and len({reason.direction for reason in chosen}) == 1:
        opposite = next((reason for reason in listed[_MOST:] if reason.direction != chosen[0].direction), None)
        if opposite is not None:
            chosen[-1] = opposite
    return tuple(chosen)


def describe_feature(feature: str, features: GrantFeatures) -> str:
    """A feature of a grant in words."""
    if feature == "idle":
        return f"not used for {count_noun(features.idle, 'day')}"
    if feature in ("span", "rate"):
        return f"used on {count_noun(features.days, 'day')} within {count_noun(features.span + 1, 'day')}"
    if feature in ("holder_idle", "holder_pause", "quiet"):
        return f"the holder has used nothing for {count_noun(features.holder_idle, 'day')}"
    if feature == "grants":
        return f"the holder has used {count_noun(features.elsewhere_grants, 'other grant')} so far"
    if feature == "holder_rate":
        uses = features.days + features.elsewhere_days
        return f"the holder has used its grants {count_times(uses)} in {count_noun(features.holder_age, 'day')}"
    if feature == "elsewhere":
        if features.elsewhere_idle is None:
            return "the holder never used another grant"
        return f"the holder last used another grant {count_noun(features.elsewhere_idle, 'day')} ago"
    if feature == "breadth":
        return f"the holder used {count_noun(features.elsewhere_recent, 'other grant')} within a year"
    return f"{format_percent(features.others)} of the other active holders used it within a year"
