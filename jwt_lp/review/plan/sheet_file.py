"""Sheet files: what a plan needs of a review besides the decisions, for all its worksheets.

A hash covers the contents, against mistakes by people, not attacks: whoever may write the worksheet may decide.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jwt_lp._support.json_types import is_json_array, unique_members
from jwt_lp.errors import ConfigurationError
from jwt_lp.review.plan.decision_groups import DecisionGroup, sort_out
from jwt_lp.review.plan.review_items import ReviewItem, ReviewOrigin, undecided_findings

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping

    from jwt_lp.review.findings import Finding, Review

SUFFIX: Final = ".sheet.json"
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class SheetFile:
    """The review, its findings that need a decision, and the groups of its worksheets, each by their ids."""

    origin: ReviewOrigin
    items: Mapping[str, ReviewItem]
    groups: Mapping[str, DecisionGroup] = field(default_factory=dict[str, DecisionGroup])

    @classmethod
    def from_review(cls, review: Review, parts: Iterable[Iterable[Finding]] | None = None) -> SheetFile:
        """The sheet file of all worksheets of a review; `parts` are the findings of each, None for one worksheet."""
        items = map(ReviewItem.from_finding, undecided_findings(review.findings))
        groups = (group for part in (parts or [review.findings]) for group in sort_out(part).groups)
        return cls(
            ReviewOrigin.from_review(review), {item.id: item for item in items}, {group.id: group for group in groups}
        )

    def encode(self) -> str:
        """It as JSON, with its hash."""
        contents = {
            "version": VERSION,
            "origin": self.origin._asdict(),
            "items": [item._asdict() for item in self.items.values()],
            "groups": [group._asdict() for group in self.groups.values()],
        }
        return json.dumps({**contents, "hash": _hash(contents)}, indent=1) + "\n"

    @classmethod
    def decode(cls, text: str) -> SheetFile:
        """Read a sheet file; `ConfigurationError` if it is not one, has another version, or was changed."""
        try:
            contents: dict[str, Any] = json.loads(text, object_pairs_hook=unique_members)
            written, version = contents.pop("hash"), contents["version"]
            if version != VERSION:
                raise ConfigurationError("another release wrote the sheet file: write the worksheet again")
            if written != _hash(contents):
                raise ConfigurationError("the sheet file was changed after the review wrote it: use the original")
            items = map(_decode_item, contents["items"])
            # A sheet file of an earlier release has no groups.
            groups = map(_decode_group, contents.get("groups", ()))
            return cls(
                ReviewOrigin(**contents["origin"]),
                {item.id: item for item in items},
                {group.id: group for group in groups},
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ConfigurationError("this is not a sheet file: jwt-lp review --worksheet writes it") from None


def sheet_path(worksheet: str | os.PathLike[str]) -> Path:
    """Where the sheet file of a worksheet is written: beside it."""
    path = Path(worksheet)
    return path.with_name(f"{path.stem}{SUFFIX}")


def sheet_candidates(worksheet: str | os.PathLike[str]) -> Iterator[Path]:
    """Where the sheet file of a worksheet may be: `decide-ann-lee.csv` may share `decide.sheet.json` with others."""
    path = Path(worksheet)
    stem = path.stem
    while stem:
        yield path.with_name(f"{stem}{SUFFIX}")
        stem = stem.rpartition("-")[0]


def _decode_item(contents: dict[str, Any]) -> ReviewItem:
    values: dict[str, Any] = {name: tuple(value) if is_json_array(value) else value for name, value in contents.items()}
    return ReviewItem(**values)


def _decode_group(contents: dict[str, Any]) -> DecisionGroup:
    values: dict[str, Any] = {**contents, "findings": tuple(contents["findings"])}
    return DecisionGroup(**values)


def _hash(contents: dict[str, Any]) -> str:
    return sha256(json.dumps(contents, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
