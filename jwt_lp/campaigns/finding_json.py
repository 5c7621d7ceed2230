"""Findings as JSON, as a store keeps them for a campaign."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, Final

from jwt_lp.review.elevation_values import JustInTime
from jwt_lp.review.findings import Finding, Reason, ScorePart

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULTS: Final = {field.name: field.default for field in fields(Finding)}
_TEXTS: Final = ("instead", "guards", "others")


def finding_to_json(finding: Finding) -> dict[str, Any]:
    """The members of a finding that are not the default, with lists in place of tuples."""
    values = {name: getattr(finding, name) for name in _DEFAULTS}
    return {
        name: _to_lists(value)
        for name, value in values.items()
        if _DEFAULTS[name] is MISSING or value != _DEFAULTS[name]
    }


def finding_from_json(members: Mapping[str, Any]) -> Finding:
    """The finding; members that this release does not know are left out."""
    values: dict[str, Any] = {name: value for name, value in members.items() if name in _DEFAULTS}
    values |= {name: tuple(values[name]) for name in _TEXTS if name in values}
    if "because" in values:
        values["because"] = tuple(Reason(*each) for each in values["because"])
    if "score_parts" in values:
        values["score_parts"] = tuple(ScorePart(*each) for each in values["score_parts"])
    if "just_in_time" in values:
        values["just_in_time"] = JustInTime(*values["just_in_time"])
    return Finding(**values)


def _to_lists(value: Any) -> Any:
    return [_to_lists(each) for each in value] if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownVariableType] - of anything
