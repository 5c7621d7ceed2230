"""Campaigns, their parts and their items as rows, for stores of every kind.

A row is a mapping with the columns of the table. JSON is ASCII, so it holds every text.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from jwt_lp.revocation.snapshot import digest
from jwt_lp.stores.audit import Actor, AuditEntry, canonical_json
from jwt_lp.stores.campaigns import Campaign, CampaignItem, CampaignPart, ItemDecision
from jwt_lp.stores.row_keys import fit_text, storable_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Row = dict[str, Any]

_MAX_SHOWN: Final = 1000

CAMPAIGN_FIELDS: Final = tuple(Campaign.__dataclass_fields__)
PART_FIELDS: Final = tuple(CampaignPart.__dataclass_fields__)
AUDIT_FIELDS: Final = (
    "sequence", "at", "by_issuer", "by", "by_name", "action", "campaign", "object", "details", "previous", "hash",
)  # fmt: skip
_PLAIN_AUDIT_FIELDS: Final = ("sequence", "at", "action", "campaign", "object", "previous", "hash")
DECISION_FIELDS: Final = (
    "decision", "until", "comment", "decided_by", "decided_at", "decided_on", "rule", "decided_group", "version",
)  # fmt: skip
"""The columns of an item that a decision changes."""
ITEM_FIELDS: Final = ("campaign", "id", "part", "position", "group", *DECISION_FIELDS)
"""The columns of an item, but for its finding."""


def campaign_row(campaign: Campaign) -> Row:
    """The row of a campaign, which has no items yet."""
    row = {name: getattr(campaign, name) for name in CAMPAIGN_FIELDS}
    row |= {name: storable_text(row[name]) for name in ("id", "name", "stages")}
    row |= {name: canonical_json(row[name]) for name in ("origin", "summary")}
    return {**row, "made_by": actor_text(campaign.made_by), "items": 0, "decided": 0}


def read_campaign(row: Mapping[str, Any]) -> Campaign:
    """The campaign in a row."""
    values = {name: row[name] for name in CAMPAIGN_FIELDS}
    values |= {name: json.loads(row[name]) for name in ("origin", "summary")}
    return Campaign(**{**values, "made_by": _actor(row["made_by"])})


def part_row(part: CampaignPart) -> Row:
    """The row of a part, which has no items yet."""
    return {
        **reviewer_values(part.reviewer),
        "campaign": storable_text(part.campaign),
        "name": fit_text(part.name),
        "items": 0,
        "decided": 0,
        "version": part.version,
        "delegated_by": actor_text(part.delegated_by),
        "reminded_at": part.reminded_at,
    }


def reviewer_values(reviewer: Actor | None) -> Row:
    """The columns of a part that say who its reviewer is."""
    return {"reviewer": actor_text(reviewer), "key": None if reviewer is None else reviewer_key(reviewer)}


def reviewer_key(reviewer: Actor) -> bytes:
    """The digest by which the parts of a reviewer are found."""
    return digest("subject", reviewer.issuer, reviewer.subject)


def read_part(row: Mapping[str, Any]) -> CampaignPart:
    """The part in a row."""
    values = {name: row[name] for name in PART_FIELDS}
    return CampaignPart(**{**values, "reviewer": _actor(row["reviewer"]), "delegated_by": _actor(row["delegated_by"])})


def item_row(item: CampaignItem) -> Row:
    """The row of an item."""
    finding = item.finding
    holder = (finding["of"], finding["issuer"], finding["name"])
    return {
        "campaign": storable_text(item.campaign),
        "id": fit_text(item.id),
        "part": fit_text(item.part),
        "position": item.position,
        "group": fit_text(item.group),
        "key": holder_key(holder),
        "role": fit_text(finding["role"]),
        "grant": fit_text(finding["grant"]),
        "finding": canonical_json(finding),
        **decision_values(item.decision, item.version),
    }


def holder_key(holder: tuple[str, str, str]) -> bytes:
    """The digest by which the items about a holder are found: `of`, issuer and name."""
    return digest(*holder)


def decision_values(decision: ItemDecision | None, version: int) -> Row:
    """The columns of an item that a decision changes."""
    if decision is None:
        return {**_UNDECIDED, "version": version}
    return {
        "decision": decision.decision,
        "until": fit_text(decision.until),
        "comment": storable_text(decision.comment),
        "decided_by": actor_text(decision.by),
        "decided_at": float(decision.at),
        "decided_on": datetime.fromtimestamp(decision.at, UTC).date().isoformat(),
        "rule": decision.rule,
        "decided_group": fit_text(decision.group),
        "version": version,
    }


_UNDECIDED: Final[Mapping[str, Any]] = {
    "decision": "", "until": "", "comment": "", "decided_by": "", "decided_at": None, "decided_on": None, "rule": False,
    "decided_group": "",
}  # fmt: skip


def read_item(row: Mapping[str, Any]) -> CampaignItem:
    """The item in a row; without a finding if the row has none."""
    decided_by = _actor(row["decided_by"])
    decision = None
    if decided_by is not None:
        decision = ItemDecision(
            decision=row["decision"],
            by=decided_by,
            at=row["decided_at"],
            until=row["until"],
            comment=row["comment"],
            rule=bool(row["rule"]),
            group=row["decided_group"],
        )
    return CampaignItem(
        campaign=row["campaign"],
        id=row["id"],
        part=row["part"],
        position=row["position"],
        group=row["group"],
        finding=json.loads(row["finding"]) if "finding" in row else {},
        decision=decision,
        version=row["version"],
    )


def audit_row(entry: AuditEntry) -> Row:
    """The row of an entry of the audit trail."""
    row = {name: getattr(entry, name) for name in _PLAIN_AUDIT_FIELDS}
    actor = {"by_issuer": entry.actor.issuer, "by": entry.actor.subject, "by_name": entry.actor.name}
    return {**row, **actor, "details": canonical_json(entry.details)}


def read_audit(row: Mapping[str, Any]) -> AuditEntry:
    """The entry in a row."""
    values = {name: row[name] for name in _PLAIN_AUDIT_FIELDS}
    actor = Actor(issuer=row["by_issuer"], subject=row["by"], name=row["by_name"])
    return AuditEntry(**values, actor=actor, details=_audit_details(row["details"]))


def _audit_details(text: Any) -> Mapping[str, Any]:
    """The details in a column. Somebody else may have written to it, and then the entry has to be found and shown, too."""
    try:
        details = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        details = None
    return details if isinstance(details, dict) else {"unreadable": repr(text)[:_MAX_SHOWN]}  # pyright: ignore[reportUnknownVariableType] - of anything


class ItemCounts:
    """The numbers of items and of decisions in each part, counted while a campaign is written."""

    def __init__(self, campaign: str, parts: Iterable[CampaignPart]) -> None:
        self.campaign: str = storable_text(campaign)
        self.parts: dict[str, Row] = {}
        for part in parts:
            self._check_campaign(part.campaign)
            row = part_row(part)
            self.parts[row["name"]] = row

    def count(self, items: Iterable[CampaignItem]) -> Iterator[Row]:
        """The rows of the items, each counted in its part."""
        for item in items:
            self._check_campaign(item.campaign)
            row = item_row(item)
            part = self._part(row["part"])
            part["items"] += 1
            part["decided"] += item.decision is not None
            yield row

    def number(self, groups: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[Row]:
        """The rows of the groups, with their numbers."""
        for number, (part, group) in enumerate(groups):
            row = self._part(fit_text(part))
            yield {
                "campaign": row["campaign"], "part": row["name"], "number": number, "content": canonical_json(group),
            }  # fmt: skip

    def totals(self) -> dict[str, int]:
        """The numbers of the whole campaign."""
        return {name: sum(part[name] for part in self.parts.values()) for name in ("items", "decided")}

    def _part(self, name: str) -> Row:
        if name not in self.parts:
            raise ValueError("an item or a group is of a part that the campaign does not have")
        return self.parts[name]

    def _check_campaign(self, campaign: str) -> None:
        if storable_text(campaign) != self.campaign:
            raise ValueError("a part or an item is of another campaign")


def actor_text(actor: Actor | None) -> str:
    """An actor as a column has it, "" for none."""
    if actor is None:
        return ""
    return json.dumps([storable_text(text) for text in (actor.issuer, actor.subject, actor.name)])


def _actor(text: str) -> Any:
    """The actor in a column, None for none."""
    if not text:
        return None
    issuer, subject, name = json.loads(text)
    return Actor(issuer=issuer, subject=subject, name=name)
