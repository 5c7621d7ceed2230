"""Look-ups for pages: each says what a scan of the rows says, on each engine."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import (
    EndpointUse,
    FoundHolder,
    FoundName,
    HeldGrant,
    HolderCount,
    HolderGrant,
    HolderUse,
    ObservedGrant,
    PermissionDay,
    RecordingPeriod,
    RevocationFilter,
    UsageBatch,
    Use,
    UseDay,
)

if TYPE_CHECKING:
    from jwt_lp.stores import Store

END = "2026-12-31"
ISSUERS = ("https://a.example/", "https://b.example/")
SUBJECTS = ("Ana", "ana", "bob", "50%", "a_b", "Ünal", "x" * 300, "a\0b", "")
CLIENTS = ("", "Desk", "cron", "bob")
ROLES = ("", "Clerk", "auditor", "elevation:1f", "elevation;", "zz")
GRANTS = ("orders:read", "orders:*", "reports:list", "")
DAYS = ("2026-03-01", "2026-06-15", "2026-06-16", "2026-11-24")


@pytest.fixture
def store(emptied_store: Store) -> Store:
    """An empty store, on each engine in turn."""
    return emptied_store


def fill(store: Store, pick: random.Random, imports: list[tuple[str, bool]]) -> None:
    """Record made-up usage and grants, and import grants on some days."""
    uses = {
        Use(
            service=pick.choice(["orders", "mail"]), issuer=pick.choice(ISSUERS), subject=pick.choice(SUBJECTS),
            client=pick.choice(CLIENTS), role=pick.choice(ROLES), endpoint=pick.choice(["/a", "/b/{id}"]),
            method=pick.choice(["GET", "POST"]), requirement="r", permission=pick.choice(["Orders:read", "a_b:x", "mail:send"]),
            grant=pick.choice(GRANTS), outcome=pick.choice(["granted", "denied", "revoked", "observed"]),
            day=pick.choice(DAYS),
        ): (pick.randint(1, 9), 1.0)
        for _ in range(120)
    }  # fmt: skip
    seen = [
        ObservedGrant(*(pick.choice(each) for each in (ISSUERS, SUBJECTS, CLIENTS, ROLES, GRANTS, DAYS)))
        for _ in range(60)
    ]
    store.record(UsageBatch(id="b1", uses=uses, observed_grants=seen))
    for day, complete in imports:
        held = [_held(pick) for _ in range(25)]
        store.import_grants(held, as_of=day, complete=complete)


def _held(pick: random.Random) -> HeldGrant:
    issuer, role, since = pick.choice(ISSUERS), pick.choice(ROLES), pick.choice(["", "2026-01-02", "2026-02-03"])
    subject, client = (pick.choice(SUBJECTS), "") if pick.random() < 0.7 else ("", pick.choice(CLIENTS))
    return HeldGrant(issuer, subject, client, role, pick.choice(GRANTS), since)


class Scan:
    """The answers of look-ups, by a scan of all rows."""

    def __init__(self, store: Store) -> None:
        self.usage = list(store.usage())
        self.sums = list(store.summary(until=END))
        self.held = list(store.held_grants())
        self.seen = [row for row in store.observed_grants() if not row.role.startswith("elevation:")]
        self.complete = any(row.complete for row in self.held)
        self.last = max((row.as_of for row in self.held), default="")

    def names(self, kind: str, text: str) -> list[FoundName]:
        rows: list[Any] = [*(row.use for row in self.usage), *self.seen, *(row.held for row in self.held)]
        if kind == "role":
            listed: list[Any] = [*self.seen, *(row.held for row in self.held)]
            rows = [row for row in listed if not row.role.startswith("elevation:")]
        if kind == "permission":
            rows = [row.use for row in self.usage]
        issuer = kind in ("subject", "client")
        found = {FoundName(row.issuer if issuer else "", getattr(row, kind)) for row in rows}
        lowered = _lower(text)
        return sorted(each for each in found if each.name and lowered in _lower(each.name))

    def counted(self, row: Any) -> bool:
        return not self.complete or row.last_day > self.last

    def grants(self, issuer: str, subject: str | None, client: str | None) -> list[HolderGrant]:
        found: dict[tuple[str, str], HolderGrant] = {}
        for row in sorted(self.held, key=lambda each: each.as_of):
            held = row.held
            if (held.issuer, held.subject) == (issuer, subject or "") and client in (None, held.client):
                key = held.role, held.grant
                since = held.since or (found[key].since if key in found else "")
                found[key] = HolderGrant(*key, since, row.as_of, "", "")
        listed = set(found)
        for seen in self.seen:
            if seen.issuer != issuer or subject not in (None, seen.subject) or client not in (None, seen.client):
                continue
            key = seen.role, seen.grant
            whole = bool(seen.role) and (seen.role, "") in listed
            if subject is None or self.counted(seen) or key in listed or whole:
                known = found.get(key, HolderGrant(*key, "", "", "", ""))
                days = [day for day in (known.first_day, seen.first_day) if day]
                found[key] = known._replace(first_day=min(days), last_day=max(known.last_day, seen.last_day))
        return [found[key] for key in sorted(found)]

    def uses(self, **parts: str) -> list[HolderUse]:
        rows = [
            HolderUse(*row[:7], uses=row.uses, first_day=row.first_day, last_day=row.last_day)
            for row in self.sums
            if all(getattr(row, name) == value for name, value in parts.items())
        ]
        return sorted(sorted(rows), key=lambda row: row.last_day, reverse=True)

    def holders(self, name: str, value: str) -> list[FoundHolder]:
        rows: list[Any] = [row.held for row in self.held] + [row for row in self.seen if self.counted(row)]
        return sorted({FoundHolder(row.issuer, row.subject, row.client) for row in rows if getattr(row, name) == value})

    def use_days(self, since: str, **parts: str) -> list[UseDay]:
        totals: dict[tuple[Any, ...], int] = defaultdict(int)
        for row in self.usage:
            if row.use.day >= since and all(getattr(row.use, name) == value for name, value in parts.items()):
                totals[tuple(getattr(row.use, name) for name in UseDay._fields[:-1])] += row.count
        rows = [UseDay._make((*key, uses)) for key, uses in totals.items()]
        return sorted(sorted(rows), key=lambda row: row.day, reverse=True)

    def by_permission(self, permission: str, parts: tuple[str, ...], since: str = "") -> list[tuple[Any, ...]]:
        """The parts, what was granted, what was refused, and the last day."""
        totals: dict[tuple[Any, ...], list[Any]] = defaultdict(lambda: [0, 0, ""])
        for row in self.usage:
            if row.use.permission == permission and row.use.day >= since:
                total = totals[tuple(getattr(row.use, name) for name in parts)]
                total[0] += row.count * (row.use.outcome == "granted")
                total[1] += row.count * (row.use.outcome in ("denied", "revoked"))
                total[2] = max(total[2], row.use.day)
        return [(*key, *total) for key, total in sorted(totals.items())]


def _lower(text: str) -> str:
    return "".join(each.lower() if each.isascii() else each for each in text)


@pytest.mark.parametrize(
    "imports",
    [[], [("2026-03-01", False), ("2026-06-15", False)], [("2026-01-01", False), ("2026-03-01", True), ("2026-06-15", False)]],
    ids=["none", "incomplete", "complete"],
)  # fmt: skip
def test_look_ups_say_what_a_scan_says(store: Store, imports: list[tuple[str, bool]]) -> None:
    """Of every holder, grant, role and permission, whatever was imported."""
    fill(store, random.Random(len(imports)), imports)
    scan = Scan(store)
    for text in ("", "AN", "_b", "%", "x" * 300, "Ü"):
        for kind in ("subject", "client", "role", "permission"):
            assert scan.names(kind, _stored(text)) == list(store.find_names(kind, text)), (kind, text)
    for issuer in ISSUERS:
        for subject in map(_stored, ("ana", "x" * 300, "a\0b", "")):
            for client in (None, "Desk"):
                found_grants = store.holder_grants(issuer=issuer, subject=subject, client=client)
                assert scan.grants(issuer, subject, client) == list(found_grants)
            found = store.holder_uses(issuer=issuer, subject=subject)
            assert (scan.uses(issuer=issuer, subject=subject), True) == (list(found.uses), found.complete)
            days = store.use_days(issuer=issuer, subject=subject, since="2026-06-15")
            assert scan.use_days("2026-06-15", issuer=issuer, subject=subject) == list(days)
        for client in ("Desk", ""):
            assert scan.grants(issuer, None, client) == list(store.holder_grants(issuer=issuer, client=client))
            assert scan.uses(issuer=issuer, client=client) == list(store.holder_uses(issuer=issuer, client=client).uses)
    for name, values, find, count in (
        ("grant", GRANTS, store.grant_holders, store.count_grant_holders),
        ("role", ROLES, store.role_members, store.count_role_members),
    ):
        for value in values:
            holders = scan.holders(name, value)
            assert (holders, HolderCount(len(holders), True)) == (list(find(value)), count(value)), value
    for permission in ("Orders:read", "a_b:x", "nonesuch"):
        assert scan.uses(permission=permission) == list(store.permission_uses(permission, limit=1000).uses)
        by_day = [PermissionDay(*row[:3]) for row in scan.by_permission(permission, ("day",), "2026-06-15")]
        assert by_day == list(store.permission_days(permission, since="2026-06-15"))
        where = [EndpointUse(*row) for row in scan.by_permission(permission, EndpointUse._fields[:3])]
        where.sort(key=lambda row: row.last_day, reverse=True)
        assert where == list(store.endpoint_uses(permission))


def _stored(text: str) -> str:
    from jwt_lp.stores.row_keys import fit_text

    return fit_text(text)


def test_look_ups_come_in_pages(store: Store) -> None:
    """At most `limit` rows; the pages of holders add up to all."""
    fill(store, random.Random(7), [("2026-03-01", False)])
    scan = Scan(store)
    assert scan.names("subject", "")[:3] == list(store.find_names("subject", "", limit=3))
    assert scan.names("role", "")[:1] == list(store.find_names("role", "", limit=1))
    holders: list[FoundHolder] = []
    after = None
    while page := store.grant_holders("orders:read", limit=4, after=after):
        assert len(page) <= 4
        holders += page
        after = page[-1]
    assert scan.holders("grant", "orders:read") == holders
    some = {"issuer": ISSUERS[0], "client": "Desk"}
    assert scan.uses(**some)[:2] == list(store.holder_uses(**some, limit=2).uses)
    assert scan.grants(ISSUERS[0], "ana", None)[:1] == list(
        store.holder_grants(issuer=ISSUERS[0], subject="ana", limit=1)
    )
    one = {"issuer": ISSUERS[0], "subject": "bob", "client": "cron", "permission": "a_b:x", "grant": "orders:*"}
    assert scan.use_days("2026-01-01", **one) == list(store.use_days(**one, since="2026-01-01"))  # type: ignore[arg-type]
    assert 1 == len(store.use_days(issuer=ISSUERS[0], subject="bob", since="2026-01-01", limit=1))
    assert 1 == len(store.endpoint_uses("a_b:x", limit=1))


def test_what_is_too_much_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more rows are read than the bound, and the answer says that there are more."""
    fill(store, random.Random(7), [])
    django = store.name.startswith("django:")
    for name in (
        ["jwt_lp_django.lookup_rows"] if django else ["jwt_lp.stores.lookup_queries", "jwt_lp.stores.name_queries"]
    ):
        monkeypatch.setattr(f"{name}.MAX_READ", 1 if name.endswith("name_queries") else 3)
    uses, complete = store.permission_uses("Orders:read")
    assert (4, False) == (len(uses), complete)
    number, complete = store.count_grant_holders("orders:read")
    assert (False, True) == (complete, 1 <= number <= 4)
    # Django's ORM has no recursive queries, so it reads all names.
    names = [each for each in store.find_names("subject", "") if each.issuer == ISSUERS[0]]
    assert django or len(names) <= 3  # one of each table


def test_revocations_are_listed_newest_first(store: Store) -> None:
    """Each filter alone, and pages."""
    entries = [
        RevocationEntry(id=f"r{n}", of="subject" if n % 2 else "client", issuer=ISSUERS[n % 3 == 0], name=f"n{n % 2}")
        for n in range(6)
    ]
    store.revoke(entries, at=5.0, by="ops")
    store.lift(["r1", "r4"], at=6.0)

    def page(**other: Any) -> list[str]:
        return [row.entry.id for row in store.revocation_page(RevocationFilter(**other))]

    assert ["r5", "r4", "r3", "r2", "r1", "r0"] == page()
    assert (["r5", "r3", "r2", "r0"], ["r4", "r1"]) == (page(lifted=False), page(lifted=True))
    assert (["r5", "r3", "r1"], ["r3", "r0"]) == (page(of="subject"), page(issuer=ISSUERS[1]))
    assert ["r5", "r1"] == page(of="subject", issuer=ISSUERS[0], name="n1")
    assert (["r2"], [], []) == (page(id="r2"), page(name="a\0b"), page(id="\ud800"))
    row = store.revocation_page(RevocationFilter(limit=2))[1]
    assert ("r4", "ops", 6.0, ["r3", "r2"]) == (row.entry.id, row.by, row.lifted_at, page(before=row.sequence, limit=2))


def test_the_latest_import_and_the_last_recording(store: Store) -> None:
    """The day of the import and whether it was complete; the latest time of each service."""
    assert (None, ()) == (store.latest_import(), store.recorded_until())
    for day, complete in (("2026-03-01", True), ("2026-01-01", False)):
        store.import_grants([HeldGrant("i", "ana", "", "", "a:b")], as_of=day, complete=complete)
    assert ("2026-03-01", True) == store.latest_import()
    for name, service, until in (("p1", "orders", 9.5), ("p2", "orders", 7.0), ("p3", "mail", 3.0)):
        store.record(UsageBatch(id=name, period=RecordingPeriod(id=name, service=service, started=1.0, until=until)))
    assert (("mail", 3.0), ("orders", 9.5)) == store.recorded_until()
