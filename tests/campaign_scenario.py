"""The people of a small company, and what they hold and use: the past that campaigns are frozen from."""

from __future__ import annotations

from jwt_lp.review import Person
from jwt_lp.stores import HeldGrant
from review_scenario import ISSUER, ReviewScenario

PEOPLE = {
    "ann": Person("Ann Lee", "sales", "Ben Ray"),
    "ben": Person("Ben Ray", "board", ""),
    "alice": Person("Alice", "sales", "Ann Lee"),
    "bob": Person("Bob", "sales", "ann"),
    "carol": Person("Carol", "stock", "Ben Ray"),
    "dave": Person("Dave", "stock", "Ben Ray"),
    "lars": Person("Lars", "stock", "Ben Ray", left="2026-06-30"),
    "lena": Person("Lena", "stock", "Ben Ray", left="2026-07-31"),
}


def hold(subject: str, grant: str, role: str = "") -> HeldGrant:
    """An assignment of old."""
    return HeldGrant(ISSUER, subject, "", role, grant, "2025-10-01")


def record_quarter(past: ReviewScenario) -> None:
    """Two managers with their people: unused grants, a broad one, two who have left, and a role that is not needed."""
    past.record_period()
    past.declare_permissions("orders:list", "orders:read", "orders:refund", "reports:read")
    for subject in ("alice", "bob", "carol", "dave", "ann", "ben"):
        past.record_use(subject, "orders:list", 300, 100, 3, 2, 1, role="clerk")
    for subject in ("alice", "bob", "carol", "ann"):
        past.record_use(subject, "reports:read", 390, 300, role="")
    past.record_use("dave", "orders:read", 1, grant="orders:*")
    past.import_grants(
        *(hold(subject, "", "clerk") for subject in ("alice", "bob", "carol", "dave", "ann", "ben")),
        *(hold(subject, "reports:read") for subject in ("alice", "bob", "carol", "ann", "ben")),
        hold("dave", "orders:*"),
        *(hold(subject, grant) for subject in ("lars", "lena") for grant in ("orders:read", "reports:read")),
    )
