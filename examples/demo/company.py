"""A made-up company: its people, what they hold, and what they have used in two and a half years."""

from __future__ import annotations

import csv
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

from jwt_lp.review import Person
from jwt_lp.stores import EnforcementPoint, HeldGrant, ObservedGrant, RecordingPeriod, Store, UsageBatch, Use

ISSUER: Final = "https://login.company.example/"
POLICY: Final = Path(__file__).with_name("company.toml")

_DAYS: Final = 900
_WEEK: Final = 7
_TEAMS: Final[Mapping[str, int]] = {
    "sales": 26, "support": 30, "finance": 14, "warehouse": 24, "engineering": 20, "people": 6,
}  # fmt: skip
_SELDOM: Final = frozenset(
    ("quotes:discount", "refunds:approve", "invoices:cancel", "shipments:cancel", "databases:update", "salaries:read")
)
"""What a role grants to everybody who has it, and few of them use."""
_DIRECT: Final = ("customers:export", "orders:delete", "databases:read", "payments:release", "reports:read")
"""What some people hold beside their roles."""
_CLIENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "invoice-job": ("invoices:create", "orders:read"),
    "search-index": ("orders:read", "customers:read"),
    "old-export": ("customers:export", "orders:list"),
}
_FIRST: Final = (
    *("Ada", "Ben", "Cleo", "Dina", "Emil", "Fatma", "Gil", "Hana", "Ivo", "Jana", "Kofi", "Lena", "Milan", "Nora"),
    *("Omar", "Pia", "Quinn", "Rosa", "Sami", "Tara", "Umar", "Vera", "Wen", "Yara", "Zeno"),
)
_LAST: Final = ("Adler", "Brook", "Costa", "Diaz", "Engel", "Farah", "Gruber", "Hill", "Ito", "Jensen", "Kaya", "Lund")


@dataclass
class Company:
    """Persons by subject, who has which role or permission since when, and the days on which each permission was used."""

    people: dict[str, Person] = field(default_factory=dict[str, Person])
    held: list[HeldGrant] = field(default_factory=list[HeldGrant])
    uses: list[tuple[str, str, str, str, date]] = field(default_factory=list[tuple[str, str, str, str, date]])

    @classmethod
    def made(cls, today: date, seed: int = 7) -> Company:
        """The company as it is today; the same each time."""
        company, dice = cls(), Random(seed)  # noqa: S311 - nothing is secret here
        roles = tomllib.loads(POLICY.read_text(encoding="utf-8"))["roles"]
        for team, size in _TEAMS.items():
            for number in range(size):
                company._add_person(team, number, roles, today, dice)
        for client, permissions in _CLIENTS.items():
            for permission in permissions:
                company.held.append(HeldGrant(ISSUER, "", client, "", permission, _ago(today, 800)))
                if client != "old-export":
                    company._use("", client, "", permission, today, dice, every=7)
        return company

    def _add_person(
        self, team: str, number: int, roles: Mapping[str, Mapping[str, list[str]]], today: date, dice: Random
    ) -> None:
        name = f"{_FIRST[len(self.people) % len(_FIRST)]} {_LAST[(len(self.people) * 5 + len(team)) % len(_LAST)]}"
        subject = f"{name.lower().replace(' ', '.')}{len(self.people)}"
        lead = number == 0
        manager = "" if lead else next(each for each, person in self.people.items() if person.team == team.title())
        left = not lead and _happens(dice, 6)
        gone = dice.randint(20, 90) if left else 0
        self.people[subject] = Person(name, team.title(), manager, "", _ago(today, gone) if left else "")
        mine = [team, *(["lead"] if lead else [])]
        earlier = dice.choice([each for each in _TEAMS if each != team]) if _happens(dice, 12) else ""
        for role in (*mine, *filter(None, [earlier])):
            since = dice.randint(200, 1000)
            self.held.append(HeldGrant(ISSUER, subject, "", role, "", _ago(today, since)))
            # Whoever has moved to another team uses the earlier one's role no more.
            moved = dice.randint(150, 400) if role == earlier else 0
            for permission in roles[role]["grants"]:
                if _happens(dice, 15 if permission in _SELDOM else 90):
                    self._use(subject, "", role, permission, today, dice, first=since, last=max(moved, gone))
        if _happens(dice, 25):
            extra = dice.choice(_DIRECT)
            since = dice.randint(100, 900)
            self.held.append(HeldGrant(ISSUER, subject, "", "", extra, _ago(today, since)))
            if _happens(dice, 50):
                self._use(
                    subject, "", "", extra, today, dice, every=40, first=since, last=max(gone, dice.randint(0, 200))
                )

    def _use(  # noqa: PLR0913 - who, what and when
        self, subject: str, client: str, role: str, permission: str, today: date, dice: Random, *,
        every: int = 0, first: int = _DAYS, last: int = 0,
    ) -> None:  # fmt: skip
        pause = every or dice.choice((2 * _WEEK, 30, 30, 90))
        ago = min(first, _DAYS - 1)
        while ago > last:
            self.uses.append((subject, client, role, permission, today - timedelta(days=ago)))
            ago -= dice.randint(max(pause // 2, 1), pause * 3 // 2)


def record_company(store: Store, company: Company) -> None:
    """Record its use, and the endpoints."""
    now = time.time()
    today = datetime.fromtimestamp(now, UTC).date()
    first = _ago(today, _DAYS)
    uses: dict[Use, tuple[int, float]] = {}
    seen: dict[tuple[str, str, str, str], list[str]] = {}
    for subject, client, role, permission, day in company.uses:
        area, _, verb = permission.partition(":")
        method = "GET" if verb in {"list", "read", "export"} else "POST"
        use = Use(
            f"{area}-api", ISSUER, subject, client, role, f"{area}.{verb}", method, permission, permission, permission,
            "granted", day.isoformat(),
        )  # fmt: skip
        uses[use] = (3, datetime.combine(day, datetime.min.time(), UTC).timestamp() + 43_200)
        seen.setdefault((subject, client, role, permission), []).append(day.isoformat())
    endpoints = {(use.service, use.endpoint, use.method, use.requirement) for use in uses}
    points = [EnforcementPoint(*endpoint, first) for endpoint in sorted(endpoints)]
    sightings = [ObservedGrant(ISSUER, *who, day) for who, days in seen.items() for day in {min(days), max(days)}]
    uses |= {_denied(company, today, number): (1, now - number * 86_400) for number in range(3, 170, 4)}
    period = RecordingPeriod(id="company", service="orders-api", started=now - _DAYS * 86_400, until=now)
    store.record(
        UsageBatch(id="company", uses=uses, observed_grants=sightings, enforcement_points=points, period=period)
    )


def import_held(store: Store, company: Company, days: int) -> None:
    """Import what everybody held so many days ago."""
    as_of = _ago(datetime.now(UTC).date(), days)
    store.import_grants([each for each in company.held if each.since <= as_of], as_of=as_of, complete=True)


def _denied(company: Company, today: date, days: int) -> Use:
    """Somebody of support tries to approve a refund, and may not."""
    support = [subject for subject, person in company.people.items() if person.team == "Support" and person.manager]
    permission = "refunds:approve"
    return Use(
        "refunds-api", ISSUER, support[days % len(support)], "", "", "refunds.approve", "POST", permission, permission, "",
        "denied", _ago(today, days),
    )  # fmt: skip


def write_people(company: Company, file: Path) -> None:
    """Write the list of people, as `--people` reads it."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(("subject", *Person._fields))
        writer.writerows(_rows(company))


def _rows(company: Company) -> Iterator[tuple[str, ...]]:
    for subject, person in company.people.items():
        yield subject, *person


def _happens(dice: Random, percent: int) -> bool:
    return dice.randrange(100) < percent


def _ago(today: date, days: int) -> str:
    return (today - timedelta(days=days)).isoformat()
