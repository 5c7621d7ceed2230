"""Hand-made reviews, findings and usage for tests."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from jwt_lp.review.findings import AppliedRule, Finding, Population, Review, ReviewWindow
from jwt_lp.stores import ObservedGrant, UsageBatch, Use

ISSUER = "https://authority.test"
DAY = "2026-11-01"
LATER = "2026-11-10"


def at(day: str, hour: int = 12) -> float:
    """An hour of a day, in seconds since the epoch."""
    return datetime.fromisoformat(f"{day}T{hour:02}:00:00").replace(tzinfo=UTC).timestamp()


def make_finding(name: str = "alice", grant: str = "orders:read", **more: Any) -> Finding:
    """An unused grant that is proposed for removal."""
    of = more.get("of", "subject")
    values: dict[str, Any] = {
        "kind": "role" if of == "role" else "grant" if grant else "member",
        "verdict": "unused",
        "proposal": "remove",
        "of": of,
        "issuer": ISSUER,
        "name": name,
        "role": name if of == "role" else "",
        "grant": grant,
        "reason": "Nobody used it.",
    } | more
    identity = "/".join(str(values[key]) for key in ("kind", "of", "issuer", "name", "role")) + f"/{grant}"
    return Finding(**{"id": hashlib.sha256(identity.encode()).hexdigest()[:12], **values})


def make_review(*findings: Finding, source: Any = "imported", grants: int = 1000, policy: Any = None) -> Review:
    """A review with these findings, and the policy if there is one."""
    return Review(
        made_at=at(DAY),
        store="memory",
        now=DAY,
        window=ReviewWindow("2026-01-01", DAY, DAY, 300, 0),
        population=Population(
            source=source, as_of=DAY, complete=True, subjects=1, clients=0, roles=0, grants=grants, excluded=0
        ),
        judging=AppliedRule(rule="fixed", threshold=180, floor=30, grace=14, horizon=365),
        findings=findings,
        notes=(),
        digest="d" * 64,
        policy="" if policy is None else policy.digest,
        policy_path="" if policy is None else policy.path or "",
    )


def make_use(permission: str, day: str, subject: str = "alice", **more: Any) -> Use:
    """A granted use through a direct grant of the same name."""
    values: dict[str, Any] = {
        "service": "orders", "issuer": ISSUER, "client": "", "role": "", "endpoint": "views.x", "method": "GET",
        "requirement": permission, "grant": permission, "outcome": "granted",
    } | more  # fmt: skip
    return Use(subject=subject, permission=permission, day=day, **values)


def record_uses(
    store: Any, *uses: Use, hour: int = 12, count: int = 1, observed_grants: tuple[ObservedGrant, ...] = ()
) -> None:
    """Record the uses in the store."""
    batch_id = hashlib.sha256(repr((uses, observed_grants, hour, count)).encode()).hexdigest()
    store.record(
        UsageBatch(id=batch_id, uses={use: (count, at(use.day, hour)) for use in uses}, observed_grants=observed_grants)
    )
