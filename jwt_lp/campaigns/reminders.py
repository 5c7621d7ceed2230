"""Reminders: reviewers are told by webhooks how much is open, and until when."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from jwt_lp.campaigns.values import ReminderResult
from jwt_lp.webhooks import WebhookError, WebhookEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jwt_lp.stores import Store
    from jwt_lp.stores.audit import Actor
    from jwt_lp.stores.campaigns import Campaign, CampaignPart
    from jwt_lp.webhooks import Webhook

EVENT_TYPE: Final = "review.reminder"
INTERVAL: Final = 86400.0
"""Seconds in which a reviewer is reminded of a part at most once."""
_LONGEST_WAIT: Final = 10.0
"""Seconds that a receiver may ask to wait; somebody waits for the answer."""
_ATTEMPTS: Final = 2


def reminder_event(campaign: Campaign, part: CampaignPart, reviewer: Actor, *, at: float) -> WebhookEvent:
    """The event for the reviewer of a part. It has the same id until the part's reviewer was reminded."""
    identity = "\0".join((campaign.id, part.name, reviewer.issuer, reviewer.subject, repr(part.reminded_at)))
    deadline = datetime.fromtimestamp(campaign.deadline, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return WebhookEvent(
        id=f"reminder_{sha256(identity.encode()).hexdigest()[:24]}",
        type=EVENT_TYPE,
        at=at,
        # INVARIANT: no holder and no permission: reminders are often shown where others read along.
        data={
            "campaign": {"id": campaign.id, "name": campaign.name},
            "part": part.name,
            "reviewer": {"issuer": reviewer.issuer, "subject": reviewer.subject, "name": reviewer.name},
            "open": part.items - part.decided,
            "items": part.items,
            "deadline": deadline,
        },
    )


def _was_reminded(part: CampaignPart, now: float) -> bool:
    """Whether the reviewer of a part was reminded so lately that another reminder waits."""
    return part.reminded_at is not None and now - part.reminded_at < INTERVAL


def _send(webhooks: Sequence[Webhook], event: WebhookEvent) -> str:
    """Send an event to every receiver; return what went wrong, "" if all have it."""
    failures: list[str] = []
    for webhook in webhooks:
        try:
            webhook.deliver(event, attempts=_ATTEMPTS, longest=_LONGEST_WAIT)
        except WebhookError as error:
            failures.append(str(error))
    return "; ".join(dict.fromkeys(failures))


def remind_reviewers(
    store: Store,
    webhooks: Sequence[Webhook],
    campaign: Campaign,
    parts: Sequence[CampaignPart],
    *,
    actor: Actor,
    now: float,
    force: bool,
) -> ReminderResult:
    """Remind the reviewers of the parts in which something is open, and note who was reminded."""
    sent: list[str] = []
    skipped: list[str] = []
    failed: list[tuple[str, str]] = []
    for part in parts:
        if part.reviewer is None or part.decided >= part.items:
            continue
        if _was_reminded(part, now) and not force:
            skipped.append(part.name)
        elif fault := _send(webhooks, reminder_event(campaign, part, part.reviewer, at=now)):
            failed.append((part.name, fault))
        else:
            # Noted one by one, so that none is sent twice if this is interrupted.
            store.mark_reminded(campaign.id, [part.name], at=now, actor=actor)
            sent.append(part.name)
    return ReminderResult(sent=tuple(sent), skipped=tuple(skipped), failed=tuple(failed))
