"""How the commands `jwt-lp campaign` print campaigns, parts and the audit trail."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jwt_lp.campaigns.audit_trail import encode_entry
from jwt_lp.cli.output import DIM, OK, brief, count, emit, grid, moment, notices, say, text
from jwt_lp.cli.store import print_json_list, print_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.campaigns import CampaignProgress
    from jwt_lp.stores.audit import Actor, AuditEntry
    from jwt_lp.stores.campaigns import Campaign, CampaignPart, DecideResult


def print_campaigns(found: Iterable[Campaign], now: float, form: str) -> None:
    """Print campaigns, the newest first."""
    if form == "json":
        print_json_list(json.dumps(_members_of(each, now)) for each in found)
        return
    listed = list(found)
    rows = [
        (text(each.id[:8], "bold"), text(each.name), text(each.state(now)), text(moment(each.deadline)),
         text(f"{each.decided:,} of {each.items:,}"))
        for each in listed
    ]  # fmt: skip
    grid(rows, ("id", "name", "state", "deadline", "decided"), fixed=1)
    say(text(count(len(listed), "campaign"), DIM))


def print_progress(progress: CampaignProgress, now: float, form: str) -> None:
    """Print a campaign with its parts."""
    campaign = progress.campaign
    if form == "json":
        parts = [_part_members(part) for part in progress.parts]
        emit({**_members_of(campaign, now), "parts": parts, "by_day": [*map(list, progress.by_day)]})
        return
    say(text(campaign.name, "bold"), f": {campaign.state(now)}, {campaign.decided:,} of {campaign.items:,} decided")
    stages = f"; stages {campaign.stages}" if campaign.stages else ""
    say(
        f"id {campaign.id}; review of {campaign.day}; deadline {moment(campaign.deadline)}; then {campaign.undecided}{stages}"
    )
    rows = [
        (text(part.name or "(nobody)"), text(_name_of(part.reviewer)), text(f"{part.decided:,} of {part.items:,}"),
         text("" if part.reminded_at is None else moment(part.reminded_at)))
        for part in progress.parts
    ]  # fmt: skip
    grid(rows, ("part", "reviewer", "decided", "reminded"))
    if progress.unassigned:
        notices([f"open items of parts without a reviewer: {progress.unassigned:,}: jwt-lp campaign assign"])


def print_part(part: CampaignPart) -> None:
    """Print who decides about a part."""
    say(
        text(part.name or "(nobody)", "bold"),
        f": {_name_of(part.reviewer)}, {count(part.items - part.decided, 'open item')}",
    )


def print_result(result: DecideResult) -> None:
    """Print how many decisions were stored, and which were not."""
    say(text(f"{count(len(result.changed), 'decision')} stored", OK))
    if result.conflicts:
        notices([f"somebody else decided meanwhile, so these were not stored: {len(result.conflicts):,}"])


def print_trail(entries: Iterable[AuditEntry], form: str) -> None:
    """Print entries of the audit trail, each on a line of its own, without keeping them in memory."""
    for entry in entries:
        if form == "json":
            print_line(encode_entry(entry))
        else:
            what = f"{entry.action} {brief(entry.object)}".strip()
            print_line(f"{entry.sequence:>6}  {moment(entry.at)}  {brief(_name_of(entry.actor))}  {what}")


def _name_of(actor: Actor | None) -> str:
    if actor is None:
        return "nobody"
    if not actor.issuer:
        return f"{actor.name or actor.subject}, by a command"
    return f"{actor.name} ({actor.subject})" if actor.name not in ("", actor.subject) else actor.subject


def _members_of(campaign: Campaign, now: float) -> dict[str, Any]:
    members = {
        name: getattr(campaign, name)
        for name in ("id", "name", "day", "undecided", "split", "stages", "items", "decided")
    }
    times = {
        name: None if (at := getattr(campaign, name)) is None else moment(at)
        for name in ("made_at", "deadline", "closed_at", "cancelled_at")
    }
    return {**members, **times, "state": campaign.state(now), "made_by": _actor_members(campaign.made_by)}


def _part_members(part: CampaignPart) -> dict[str, Any]:
    return {
        "name": part.name,
        "reviewer": _actor_members(part.reviewer),
        "delegated_by": _actor_members(part.delegated_by),
        "items": part.items,
        "decided": part.decided,
        "reminded_at": None if part.reminded_at is None else moment(part.reminded_at),
    }


def _actor_members(actor: Actor | None) -> dict[str, str] | None:
    return None if actor is None else {"issuer": actor.issuer, "subject": actor.subject, "name": actor.name}
