"""Notice of a plan: who is told what they will lose, and when."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from jwt_lp._support.file_lock import hold_lock, lock_path
from jwt_lp.errors import PolicyError
from jwt_lp.review.plan.application import WAIT, check_preview, check_status, preview_now
from jwt_lp.review.plan.plan_journal import append_entry
from jwt_lp.review.plan.plan_stages import NOTICE, stage_end
from jwt_lp.review.plan.policy_editor import write_atomically
from jwt_lp.review.quantities import count_noun
from jwt_lp.usage.row_reader import write_csv
from jwt_lp.webhooks import WebhookError, WebhookEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from jwt_lp.review.plan.frozen_plan import Plan, PlanItem
    from jwt_lp.review.plan.plan_preview import PlanPreview
    from jwt_lp.stores import Store

EVENT_TYPE: Final = "access_review.notice"
MAX_ITEMS: Final = 500
"""The most items in one event; a longer list comes in several."""

NOTICE_COLUMNS: Final = (
    "subject",
    "person",
    "manager",
    "issuer",
    "role",
    "grant",
    "instead",
    "ends",
    "reviewer",
    "comment",
)


@dataclass(frozen=True, slots=True)
class Notice:
    """What holders and managers are told: the items, and the day at which the grants end, as an ISO date in UTC."""

    plan: str
    at: float
    ends: str
    attempt: int
    items: tuple[PlanItem, ...]

    def rows(self) -> Iterator[tuple[str, ...]]:
        """A row of `NOTICE_COLUMNS` for each item."""
        for item in self.items:
            yield (
                item.name, item.person, item.manager, item.issuer, item.role, item.grant, " ".join(item.instead),
                self.ends, item.reviewer, item.comment,
            )  # fmt: skip

    def events(self) -> Iterator[WebhookEvent]:
        """The events for each holder and each manager. The same notice gives the same ids."""
        recipients: dict[tuple[str, ...], list[PlanItem]] = {}
        for item in self.items:
            recipients.setdefault((item.of, item.issuer, item.name), []).append(item)
            if item.manager:
                recipients.setdefault(("manager", item.manager), []).append(item)
        for recipient, items in recipients.items():
            for start in range(0, len(items), MAX_ITEMS):
                yield self._event(recipient, items[start : start + MAX_ITEMS], start)

    def _event(self, recipient: tuple[str, ...], items: Sequence[PlanItem], start: int) -> WebhookEvent:
        kind, *issuer, name = recipient
        identity = "\0".join((self.plan, str(self.attempt), *recipient, str(start)))
        return WebhookEvent(
            id=f"notice_{sha256(identity.encode()).hexdigest()[:24]}",
            type=EVENT_TYPE,
            at=self.at,
            data={
                "plan": self.plan[:12],
                "recipient": {"kind": kind, "issuer": "".join(issuer), "name": name},
                "ends": self.ends,
                "items": [
                    {
                        "id": item.id,
                        "of": item.of,
                        "name": item.name,
                        "person": item.person,
                        "role": item.role,
                        "grant": item.grant,
                        "instead": list(item.instead),
                    }
                    for item in items
                ],
            },
        )


def give_notice(
    plan: Plan,
    store: Store,
    policy_path: str | os.PathLike[str] | None,
    *,
    journal: Path,
    now: float,
    by: str,
    tell: Callable[[Notice], object],
    **limits: Any,
) -> PlanPreview:
    """Begin the notice of a plan: call `tell` with it, and record it in the journal. `limits` are those of `apply`.

    The notice begins when `tell` returns; if it raises, nothing has begun. After an interruption `tell` is called again
    with the same events. Later stages leave out what was not in the notice. `PolicyError` where the notice is not due, and for the reasons of `apply`.
    """
    # Not the store's lock: a slow receiver must not stop somebody who gives a grant back.
    with hold_lock(lock_path(journal), os.fspath(journal), wait=WAIT):
        status = check_status(plan, journal)
        if status.state == "begun":
            raise PolicyError("applying this plan was interrupted: apply it first")
        _, changes = preview_now(plan, store, policy_path, now=now, status=status, **limits)
        check_preview(changes)
        if changes.stage != NOTICE:
            raise PolicyError("the plan has no notice that is due")
        notice = make_notice(plan, changes, now=now, attempt=status.attempt)
        tell(notice)
        append_entry(journal, "notice", at=now, by=by, plan=plan.hash, items=[item.id for item in notice.items])
        return changes


def write_notice(notice: Notice, path: str | os.PathLike[str]) -> None:
    """Write the rows of a notice to a file as CSV, with mode 0600."""
    buffer = io.StringIO()
    write_csv(buffer, NOTICE_COLUMNS, notice.rows(), end="\r\n")
    write_atomically(path, buffer.getvalue().encode(), mode=0o600)


def send_notice(notice: Notice, deliver: Callable[[WebhookEvent], object]) -> int:
    """Send the events of a notice with `deliver`, and return how many; `WebhookError` says how many were sent."""
    sent = 0
    for event in notice.events():
        try:
            deliver(event)
        except WebhookError as error:
            raise WebhookError(
                f"{error}; {count_noun(sent, 'event')} sent, and the notice has not begun: apply the plan again, which "
                "sends all events with the same ids",
                temporary=error.temporary,
                retry_after=error.retry_after,
            ) from None
        sent += 1
    return sent


def make_notice(plan: Plan, changes: PlanPreview, *, now: float, attempt: int) -> Notice:
    """The notice of what a preview shows; the grants end with the notice."""
    stage = next(stage for stage in plan.stages if stage.name == NOTICE)
    ends = datetime.fromtimestamp(stage_end(stage, now), UTC).date().isoformat()
    return Notice(plan.hash, now, ends, attempt, changes.items)
