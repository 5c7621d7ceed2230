"""A company at the end of a quarter: who holds what, what they used, its policy file, and a clock that tests move."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from console.serving import EVERYTHING, ISSUER
from jwt_lp.campaigns import Campaigns
from jwt_lp.review import Person
from jwt_lp.stores import EnforcementPoint, HeldGrant, ObservedGrant, RecordingPeriod, UsageBatch, Use
from jwt_lp.stores.audit import Actor

DAY = 86400
PARTNERS = "https://login.partners.example.com/realms/suppliers-and-logistics"
LONG_NAME = "Maximiliane Freifrau von Hohenfels-Oberdorf zu Wolfsburg"
LONG_PERMISSION = "warehouse:northern_europe:inventory:cycle_count_corrections:approve"
ENDPOINTS = {
    "orders:list": "GET", "orders:read": "GET", "orders:create": "POST", "orders:refund": "POST", "orders:export": "GET",
    "stock:read": "GET", "stock:adjust": "POST", "reports:read": "GET", LONG_PERMISSION: "POST",
}  # fmt: skip
CLERK = ("orders:list", "orders:read", "orders:create", "stock:read")
DIRECT = ("orders:export", "orders:refund", "stock:adjust", "reports:read")
ENGINEER = Actor(issuer=ISSUER, subject="root", name="Rosa Ott")

POLICY_FILE = f"""version = 1

[permissions]
"orders:list" = {{ description = "See which orders there are", risk = "low" }}
"orders:read" = {{ description = "See one order", risk = "low" }}
"orders:create" = {{ description = "Place an order" }}
"orders:refund" = {{ description = "Pay money back", risk = "high" }}
"orders:export" = {{ description = "Download all orders with their customers", risk = "high" }}
"stock:read" = {{ description = "See what is in stock", risk = "low" }}
"stock:adjust" = {{ description = "Correct what is in stock" }}
"reports:read" = {{ description = "Read the reports", risk = "low" }}
"{LONG_PERMISSION}" = {{ risk = "low" }}
{"".join(f'"{name}" = {{}}' + chr(10) for name in EVERYTHING)}
# what everybody in sales has
[roles.clerk]
description = "Works with orders"
grants = ["orders:create", "orders:list", "orders:read", "stock:read"]

[roles.auditor]
description = "Reads everything"
grants = ["orders:list", "orders:read", "reports:read"]

[audiences.console]
[audiences.orders]

[elevation."orders:refund"]
ask = "anyone"
approve = "jwt-lp:elevation:approve"
longest = "4h"
"""


@dataclass
class MovedClock:
    """The real time, `ahead` by so many seconds."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Quarter:
    """The store of the company with its policy file, its people and the clock."""

    store: Any
    policy: Path
    people: dict[str, Person]
    clock: MovedClock = field(default_factory=MovedClock)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1000)))

    def engine(self, *, days_ago: int = 0) -> Campaigns:
        """The engine of campaigns, as of so many days ago."""
        clock = MovedClock(self.clock.ahead - days_ago * DAY)
        return Campaigns(self.store, self.policy, people=self.people, clock=clock)

    def ago(self, days: float) -> str:
        """The ISO day that many days before the clock's day."""
        return (datetime.fromtimestamp(self.clock(), UTC).date() - timedelta(days)).isoformat()

    def record(self, **batch: Any) -> None:
        """Record something as a guard would."""
        self.store.record(UsageBatch(id=f"quarter{next(self.numbers)}", **{"uses": {}, **batch}))


def make_quarter(store: Any, folder: Path, *, team: int = 24) -> Quarter:
    """Nora and Omar have teams of that size; two years are recorded, and the list of assignments is complete.

    Everybody uses the role clerk. What they hold beside it they use now, used once, or never; a few have left.
    """
    policy = folder / "least-privilege.toml"
    policy.write_text(POLICY_FILE)
    quarter = Quarter(store, policy, _people(team))
    held = [*_held(quarter)]
    points = [
        EnforcementPoint("orders", f"views.{name}", verb, name, quarter.ago(730)) for name, verb in ENDPOINTS.items()
    ]
    now = quarter.clock()
    quarter.record(
        enforcement_points=points,
        period=RecordingPeriod(id="run", service="orders", started=now - 730 * DAY, until=now),
    )
    for days in (100, 7):
        store.import_grants(held, as_of=quarter.ago(days), complete=True)
    uses = [*_uses(held)]
    quarter.record(
        uses={_use(quarter, row, outcome, days): (3, now - days * DAY) for row, outcome, days in uses},
        observed_grants=[
            ObservedGrant(row.issuer, row.subject, row.client, row.role, row.grant, quarter.ago(days))
            for row, _, days in uses
        ],
    )
    return quarter


def _people(team: int) -> dict[str, Person]:
    people = {
        "root": Person("Rosa Ott", "Security", ""),
        "nora": Person("Nora Okafor", "Sales Europe", "root"),
        "omar": Person("Omar Haddad", "Sales America", "root"),
        "maximiliane": Person(LONG_NAME, "Supply chain and international logistics", "root"),
    }
    for manager, named in (("nora", "Europe"), ("omar", "America")):
        for number in range(team):
            state = "left" if number < 4 else ""
            person = Person(f"{_NAMES[number % len(_NAMES)]} {named[0]}{number}", f"Sales {named}", manager, state)
            people[f"{manager[0]}{number:02}"] = person
    people["u" * 40] = Person("Ülkü Ö. Şahin", "Supply chain and international logistics", "maximiliane")
    return people


_NAMES = ("Ada", "Ben", "Chloé", "Dmitri", "Esra", "Femi", "Grace", "Håkon", "Ines", "Jun", "Kofi", "Lucía")


def _held(quarter: Quarter) -> Iterator[HeldGrant]:
    """Who holds what, since when."""
    long_ago = quarter.ago(640)
    for subject, person in quarter.people.items():
        if person.manager in ("nora", "omar"):
            yield HeldGrant(ISSUER, subject, "", "clerk", "", long_ago)
            for grant in DIRECT if not subject.endswith(("5", "9")) else ("orders:*", *DIRECT[2:]):
                yield HeldGrant(ISSUER, subject, "", "", grant, long_ago)
        elif subject.startswith("u"):
            yield HeldGrant(PARTNERS, subject, "", "", LONG_PERMISSION, long_ago)
            yield HeldGrant(PARTNERS, subject, "", "", "stock:adjust", "")
        else:
            yield HeldGrant(ISSUER, subject, "", "auditor", "", long_ago)
    yield HeldGrant(ISSUER, "", "nightly-export", "", "orders:export", long_ago)
    yield HeldGrant(ISSUER, "", "nightly-export", "", "orders:refund", long_ago)


def _uses(held: list[HeldGrant]) -> Iterator[tuple[HeldGrant, str, int]]:
    """What was used or refused, so many days ago."""
    for number, row in enumerate(held):
        for grant, days in _days_of_use(number, row):
            yield row._replace(grant=grant), "granted", days
    yield HeldGrant(ISSUER, "n07", "", "", "stock:read"), "denied", 4


def _days_of_use(number: int, row: HeldGrant) -> Iterator[tuple[str, int]]:
    if row.role == "clerk":
        yield from ((grant, days) for grant in CLERK[:3] for days in range(number % 20, 700, 90))
    elif row.client and row.grant == "orders:export":
        yield from ((row.grant, days) for days in range(1, 700, 30))
    elif row.role == "auditor":
        yield "reports:read", 12
    elif row.grant == "orders:*":
        yield row.grant, 10
    elif row.grant == "reports:read" and number % 3 == 0:
        yield row.grant, 5 + number % 30
    elif row.grant == "orders:refund" and number % 4 == 0:
        yield row.grant, 460 + number


def _use(quarter: Quarter, row: HeldGrant, outcome: Any, days: int) -> Use:
    permission = "orders:read" if row.grant == "orders:*" else row.grant
    return Use(
        service="orders", issuer=row.issuer, subject=row.subject, client=row.client, role=row.role,
        endpoint=f"views.{permission}", method=ENDPOINTS[permission], requirement=permission, permission=permission,
        grant=row.grant if outcome == "granted" else "", outcome=outcome, day=quarter.ago(days),
    )  # fmt: skip
