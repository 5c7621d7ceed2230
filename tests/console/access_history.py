"""A store with the past of a small company: what was granted, used, refused, elevated, revoked and decided."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import (
    Actor,
    Campaign,
    CampaignItem,
    CampaignPart,
    Elevation,
    EnforcementPoint,
    HeldGrant,
    ObservedGrant,
    ProcessHeartbeat,
    RecordingPeriod,
    UsageBatch,
    Use,
    WantedDecision,
    WantedEntry,
)

ISSUER: Final = "https://id.test/"
HOSTILE: Final = '"><script>alert(1)</script>\u202eevil'
"""A name that wants to be markup and to turn the direction of the text."""

REVIEWER: Final = Actor(issuer=ISSUER, subject="boss", name="Dana Levi")
CAMPAIGN: Final = "c" * 32

SUMMARY: Final[dict[str, Any]] = {
    "subjects": 3, "clients": 1, "roles": 2, "grants": 9, "standing": 9, "needed": 3, "excluded": 0,
    "verdicts": {"used": 3, "unused": 2, "dormant": 4}, "proposals": {"keep": 3, "remove": 6},
    "notes": ["nothing is known before last year"], "rule": "a grant is unused after 90 days without use",
    "window": {"first_day": "2026-01-01", "last_day": "2026-11-01", "fresh_until": "", "recorded_days": 9, "dropped": 0},
    "top_grants": [[HOSTILE, 7, 0], ["orders:export", 5, 2]],
    "removals": 6, "expected": 0.4, "unknown": 2, "horizon": 365,
    "timeline": [["2026-09-01", 40, 1, 0], ["2026-10-01", 55, 0, 2]],
    "matrix": [["clerk", "orders:read", 2, 1], ["clerk", "orders:create", 2, 0]],
    "backtest": {
        "horizon": 365, "first_review": "2026-01-01", "last_day": "2026-10-01", "pairs": 10,
        "settings": [
            {"rule": "fixed", "threshold": 90, "revoked": 9, "regretted": 2, "days_needlessly_held": 100},
            ["likelihood", 0.05, 8, 1, 90],
        ],
        "recommended": ["likelihood", 0.05, 8, 1, 90],
        "in_force": {"rule": "fixed", "threshold": 90, "revoked": 9, "regretted": 2, "days_needlessly_held": 100},
        "interval": [0.0, 0.4],
    },
}  # fmt: skip


def day(ago: int) -> str:
    """The ISO day so many days ago."""
    return (datetime.now(UTC).date() - timedelta(days=ago)).isoformat()


def use(subject: str, permission: str, ago: int, **more: Any) -> Use:
    """A use by a subject of a permission that it holds directly."""
    values = {
        "service": "shop", "issuer": ISSUER, "subject": subject, "client": "till", "role": "",
        "endpoint": "shop.views.orders", "method": "GET", "requirement": permission, "permission": permission,
        "grant": permission, "outcome": "granted", "day": day(ago),
    }  # fmt: skip
    return Use(**{**values, **more})


def record_history(store: Any) -> None:
    """Write the past into an empty store, without a campaign."""
    now = time.time()
    uses = {
        use("alice", "orders:read", 400, role="clerk"): (2, now - 400 * 86400),
        use("alice", "orders:read", 30, role="clerk"): (5, now - 30 * 86400),
        use("alice", "orders:read", 2, role="clerk", endpoint="shop.views.order"): (7, now - 2 * 86400),
        use("alice", "orders:export", 9): (1, now - 9 * 86400),
        use("alice", "orders:delete", 5, role="", grant="", outcome="denied"): (3, now - 5 * 86400),
        use(HOSTILE, HOSTILE, 3, client=HOSTILE, service=HOSTILE, endpoint=HOSTILE): (1, now),
    }
    points = [
        EnforcementPoint("shop", "shop.views.orders", "GET", "orders:read", day(1)),
        EnforcementPoint("shop", "shop.views.order", "GET", "orders:{order_id}:read", day(1)),
        EnforcementPoint("shop", "shop.views.order", "HEAD", "orders:{order_id}:read", day(4)),
        EnforcementPoint("shop", "shop.views.purge", "POST", "orders:delete & orders:purge", day(1)),
        EnforcementPoint("shop", "shop.views.me", "GET", "authenticated", day(1)),
        EnforcementPoint(HOSTILE, HOSTILE, "GET", HOSTILE, day(1)),
    ]
    carried = [
        ObservedGrant(ISSUER, "alice", "till", "clerk", "orders:read", day(2)),
        ObservedGrant(ISSUER, HOSTILE, HOSTILE, HOSTILE, HOSTILE, day(2)),
    ]
    period = RecordingPeriod(id="run", service="shop", started=now - 400 * 86400, until=now - 60, recorded=19)
    store.record(UsageBatch(id="b", uses=uses, observed_grants=carried, enforcement_points=points, period=period))
    held = [
        HeldGrant(ISSUER, "alice", "", "clerk", "", day(500)),
        HeldGrant(ISSUER, "bob", "", "clerk", "", day(20)),
        HeldGrant(ISSUER, "alice", "", "", "orders:export", ""),
        HeldGrant(ISSUER, "", "till", "", "orders:read", ""),
        HeldGrant(ISSUER, HOSTILE, "", HOSTILE, "", ""),
        *(HeldGrant(ISSUER, "carol", "", "", f"reports:r{number:03}", "") for number in range(70)),
        *(HeldGrant(ISSUER, f"crowd-{number:03}", "", "crowd", "", "") for number in range(70)),
        *(HeldGrant(ISSUER, f"crowd-{number:03}", "", "", "crowd:read", "") for number in range(70)),
    ]
    store.import_grants(held, as_of=day(1), complete=True)
    store.record_heartbeat(ProcessHeartbeat("p1", "shop", "host", 1, 1, "", 2.0, now))
    store.revoke(
        [
            RevocationEntry(id="r1", of="subject", issuer=ISSUER, name="alice", pattern="orders:purge", reason=HOSTILE),
            RevocationEntry(
                id="r2", of="role", issuer=ISSUER, name="clerk", pattern="orders:create", keep=("orders:read",)
            ),
            RevocationEntry(id="r3", of="client", issuer=ISSUER, name="till", before=now, until=now + 900),
        ],
        at=now,
        by="ops",
    )
    asked: dict[str, Any] = {"issuer": ISSUER, "client": None, "answer_by": now + 3600, "seconds": 600}
    store.ask(Elevation(id="e1", subject="alice", permission="orders:delete", asked_at=now - 60, **asked))


def freeze_campaign(store: Any, *, summary: dict[str, Any] = SUMMARY, id_: str = CAMPAIGN, more: Any = ()) -> Campaign:
    """Write a campaign of the findings above, in which one decision was made."""
    now = time.time()
    campaign = Campaign(
        id=id_, name=f"Autumn {HOSTILE}", made_at=now - 86400, day=day(1), deadline=now + 5 * 86400,
        undecided="keep", split="manager", made_by=REVIEWER, origin={}, summary=summary,
    )  # fmt: skip
    findings = [
        {"of": "subject", "issuer": ISSUER, "name": "alice", "role": "", "grant": "orders:export"},
        {"of": "subject", "issuer": ISSUER, "name": "bob", "role": "clerk", "grant": ""},
        {"of": "role", "issuer": "", "name": "clerk", "role": "clerk", "grant": "orders:create", "kind": "role",
         "members": 2, "users": 0},
    ]  # fmt: skip
    items = [
        CampaignItem(
            campaign=id_, id=f"i{place}", part="boss", position=place,
            finding={"kind": "grant", "proposal": "remove", **finding},
        )
        for place, finding in enumerate((*findings, *more))
    ]  # fmt: skip
    part = CampaignPart(campaign=id_, name="boss", reviewer=REVIEWER)
    entry = WantedEntry(actor=REVIEWER, at=now, action="frozen", campaign=id_)
    store.add_campaign(campaign, [part], items, [], entry)
    wanted = [WantedDecision(item="i0", decision="keep", version=0, comment=f"still needed {HOSTILE}")]
    store.decide_items(id_, wanted, actor=REVIEWER, at=now)
    return campaign
