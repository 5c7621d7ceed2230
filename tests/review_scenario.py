"""A store with recorded usage, and reviews of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

from jwt_lp import Policy
from jwt_lp.review import DecisionRule, Finding, Review, review
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import EnforcementPoint, HeldGrant, ObservedGrant, RecordingPeriod, Store, UsageBatch, Use

NOW = "2026-11-01"
ISSUER = "https://login.example.com/"

POLICY = """
version = 1
[permissions]
"orders:list" = {}
"orders:read" = {}
"orders:refund" = { risk = "high" }
"reports:read" = { risk = "low" }
[roles.clerk]
grants = ["orders:list", "orders:read", "orders:refund"]
"""


def days_ago(days: int) -> str:
    """The ISO day that many days before the review."""
    return (date.fromisoformat(NOW) - timedelta(days=days)).isoformat()


def noon_of(day: str) -> float:
    """Noon of a day, in seconds since the epoch."""
    return datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC).timestamp()


class ReviewScenario:
    """Records usage, grants and refusals in a store, and reviews it."""

    def __init__(self, store: Store, folder: Any, *, first: int = 0) -> None:
        self.store = store
        self.url = store.name
        # The numbers of batches, which a store counts once.
        self._numbers = count(first)
        self._folder = folder

    def add(
        self,
        uses: Iterable[Use] = (),
        observed_grants: Iterable[ObservedGrant] = (),
        enforcement_points: Iterable[EnforcementPoint] = (),
        **run: Any,
    ) -> None:
        number = next(self._numbers)
        counted = {use: (1, noon_of(use.day)) for use in uses}
        period = RecordingPeriod(id=f"run{number}", service="orders", **run) if run else None
        self.store.record(
            UsageBatch(
                id=f"batch{number}",
                uses=counted,
                observed_grants=observed_grants,
                enforcement_points=enforcement_points,
                period=period,
            )
        )

    def record_period(self, days: int = 400, fresh: int = 0) -> None:
        """Add a recording period of `days` days before the review, which ended `fresh` days before it."""
        self.add(started=noon_of(days_ago(days)), until=noon_of(days_ago(fresh)))

    def record_use(
        self, subject: str, permission: str, *days: int, grant: str = "", role: str = "", **more: Any
    ) -> None:
        """A subject used something, so many days ago."""
        self.add([self.use(subject, permission, each, grant or permission, role, **more) for each in days])
        self.observe_grant(
            subject, grant or permission, max(days), role=role, last=min(days), client=more.get("client", "")
        )

    def use(self, subject: str, permission: str, days: int, grant: str, role: str = "", **more: Any) -> Use:
        values = {"service": "orders", "client": "", "endpoint": f"views.{permission}", "method": "GET",
                  "requirement": permission, "outcome": "granted"}  # fmt: skip
        return Use(issuer=ISSUER, subject=subject, role=role, permission=permission, grant=grant, day=days_ago(days),
                   **(values | more))  # fmt: skip

    def record_refusal(self, subject: str, permission: str, days: int, outcome: Any = "denied") -> None:
        self.add([self.use(subject, permission, days, "", outcome=outcome)])

    def observe_grant(
        self, subject: str, grant: str, first: int, *, last: int = 0, role: str = "", client: str = ""
    ) -> None:
        """Record that a token of the subject carried the grant on these days."""
        observed = [ObservedGrant(ISSUER, subject, client, role, grant, days_ago(days)) for days in {first, last}]
        self.add(observed_grants=observed)

    def declare_permissions(self, *permissions: str) -> None:
        """Add an enforcement point for each permission."""
        self.add(
            enforcement_points=[
                EnforcementPoint("orders", f"views.{name}", "GET", name, days_ago(400)) for name in permissions
            ]
        )

    def import_grants(self, *held: HeldGrant, complete: bool = True, days: int = 0) -> None:
        self.store.import_grants(held, as_of=days_ago(days), complete=complete)

    def deny(self, name: str, grant: str, of: Any = "subject") -> None:
        """Add a deny entry."""
        entry = RevocationEntry(id=f"d-{of}-{name}-{grant}", of=of, issuer=ISSUER, name=name, pattern=grant)
        self.store.revoke([entry], at=noon_of(NOW))

    def review(self, window: int = 180, **options: Any) -> Review:
        given: dict[str, Any] = {"now": NOW, "made_at": noon_of(NOW), "rule": DecisionRule("fixed", window)}
        return review(self.store, **(given | options))

    def policy(self, text: str = POLICY) -> Policy:
        file = self._folder / "least-privilege.toml"
        file.write_text(text)
        return Policy.load(file)


def find_finding(found: Review, name: str, grant: str = "", kind: str = "") -> Finding:
    """The one finding about a holder and a grant."""
    (one,) = [
        finding
        for finding in found.findings
        if finding.name == name
        and (not kind or finding.kind == kind)
        and (finding.grant == grant or (kind and not grant))
    ]
    return one
