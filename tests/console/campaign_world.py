"""A store with two managers and their people, recorded use, and a campaign that was frozen from it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from console.serving import ISSUER, POLICY
from jwt_lp import Policy
from jwt_lp.campaigns import Campaigns
from jwt_lp.review import Person
from jwt_lp.stores import EnforcementPoint, HeldGrant, ObservedGrant, RecordingPeriod, UsageBatch, Use
from jwt_lp.stores.audit import Actor

DAY = 86400
PEOPLE = {
    "mia": Person("Mia Berg", "Sales", "max"),
    "max": Person("Max Holm", "Board", ""),
    "ann": Person("Ann Lee", "Sales", "mia"),
    "bob": Person("Bob Ray", "Sales", "mia"),
    "eve": Person("Eve Fox", "Sales", "mia", "left"),
    "fay": Person("Fay Orr", "Sales", "mia", "left"),
    "dan": Person("Dan Kay", "Legal", "max"),
}
MIA = Actor(issuer=ISSUER, subject="mia", name="Mia Berg")
MAX = Actor(issuer=ISSUER, subject="max", name="Max Holm")
ENGINEER = Actor(issuer=ISSUER, subject="root", name="Root")
NO_ROLES: Mapping[str, str] = {}
DECIDES = "jwt-lp:review:decide"
READS = "jwt-lp:review:read"
APPLIES = "jwt-lp:review:apply"


def today() -> date:
    """The present day in UTC."""
    return datetime.now(UTC).date()


def ago(days: int) -> str:
    """The ISO day that many days before today."""
    return (today() - timedelta(days=days)).isoformat()


def noon(day: str) -> float:
    """Noon of a day, in seconds since the epoch."""
    return datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC).timestamp()


@dataclass
class CampaignWorld:
    """A store, the engine of its campaigns, and what tests ask of them."""

    store: Any
    engine: Campaigns
    numbers: int = 0
    _untouched: str = ""

    def record_use(self, subject: str, permission: str, *days: int, grant: str = "", role: str = "") -> None:
        """A subject used something, so many days ago; 0 is this moment."""
        granted = grant or permission
        uses = {
            Use(
                service="orders", issuer=ISSUER, subject=subject, client="", role=role, endpoint=f"views.{permission}",
                method="GET", requirement=permission, permission=permission, grant=granted, outcome="granted",
                day=ago(each),
            ): (3, noon(ago(each)) if each else time.time())
            for each in days
        }  # fmt: skip
        seen = [ObservedGrant(ISSUER, subject, "", role, granted, ago(each)) for each in days]
        self._record(uses=uses, observed_grants=seen)

    def record_base(self, *held: HeldGrant) -> None:
        """Two years of records, the endpoints, and the list of what everybody holds."""
        points = [
            EnforcementPoint("orders", f"views.{name}", "GET", name, ago(700))
            for name in ("orders:read", "orders:create", "orders:delete")
        ]
        period = RecordingPeriod(id="run", service="orders", started=noon(ago(730)), until=noon(ago(0)))
        self._record(enforcement_points=points, period=period)
        self.store.import_grants(held, as_of=ago(0), complete=True)

    def freeze(self, name: str = "Q4", *, days: int = 14, **more: Any) -> str:
        """Freeze a campaign; return its id."""
        options: dict[str, Any] = {"deadline": noon(ago(0)) + days * DAY, "split": "manager"} | more
        return self.engine.freeze(ENGINEER, name=name, **options).id

    def untouched(self) -> str:
        """A campaign for tests that change nothing in it; return its id."""
        if not self._untouched:
            self._untouched = self.freeze("Q4")
        return self._untouched

    def freeze_late(self) -> str:
        """Freeze a campaign whose deadline was yesterday; return its id."""
        before = time.time() - 3 * DAY
        engine = Campaigns(self.store, Policy.from_mapping(POLICY), people=PEOPLE, clock=lambda: before)
        return engine.freeze(ENGINEER, name="Late", deadline=before + 2 * DAY, day=ago(0)).id

    def items(self, campaign: str, part: str | None = "mia", **more: Any) -> Any:
        """The items of a part."""
        return self.engine.items(campaign, part=part, limit=1000, **more).items

    def item(self, campaign: str, subject: str, grant: str) -> Any:
        """The one item about a subject and a grant."""
        (found,) = [
            each for each in self.items(campaign, None)
            if (each.finding.name, each.finding.grant) == (subject, grant)
        ]  # fmt: skip
        return found

    def _record(self, **batch: Any) -> None:
        self.numbers += 1
        self.store.record(UsageBatch(id=f"batch{self.numbers}", **{"uses": {}, **batch}))


def make_world(
    store: Any, *, more_people: int = 0, roles: Mapping[str, str] = NO_ROLES, **options: Any
) -> CampaignWorld:
    """The world: Mia decides about Ann, Bob and two leavers, Max about Dan and Mia."""
    people = dict(PEOPLE)
    people |= {f"p{number}": Person(f"Person {number}", "Sales", "mia") for number in range(more_people)}
    world = CampaignWorld(store, Campaigns(store, Policy.from_mapping(POLICY), people=people, **options))
    held = [
        HeldGrant(ISSUER, subject, "", "", grant, ago(600))
        for subject in people
        for grant in ("orders:read", "orders:create", "orders:delete")
        if subject != "max"
    ]
    assigned = [HeldGrant(ISSUER, subject, "", role, "", ago(600)) for subject, role in roles.items()]
    world.record_base(*held, *assigned)
    world.record_use("ann", "orders:read", 3, 40, 200)
    world.record_use("ann", "orders:delete", 500)
    world.record_use("bob", "orders:read", 5)
    world.record_use("dan", "orders:read", 1)
    world.record_use("mia", "orders:read", 2)
    return world


def hidden_fields(html: str) -> dict[str, str]:
    """The hidden fields of the last form of a page; of the form of decisions, where the page has one."""
    from html import unescape

    forms = re.findall(r"<form[^>]*method=\"post\".*?</form>", html, re.DOTALL)
    form = next((each for each in forms if 'id="decide"' in each), forms[-1])
    pairs = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)
    return {unescape(name): unescape(value) for name, value in pairs if name != "csrf_token"}
