"""Summaries of reviews: the numbers that a campaign keeps of the review it was frozen from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jwt_lp.stores.campaigns import Campaign


def latest_review(campaigns: Iterable[Campaign]) -> Campaign | None:
    """The newest campaign that was not cancelled; campaigns come newest first."""
    return next((each for each in campaigns if each.cancelled_at is None), None)


def matrix_rows(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, int, int]]:
    """The role, the grant, the members and the users of each cell of a summary's matrix."""
    for row in summary.get("matrix", ()):
        yield row["role"], row["grant"], row["members"], row["users"]
