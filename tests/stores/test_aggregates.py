"""Sums of usage that a review reads, on each engine and on the store in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jwt_lp.errors import ConfigurationError
from jwt_lp.stores import DayRow, MonthRow, RequestedPermission, UsageBatch, UsageSummary, Use, open_store
from memory_store import ReviewedStore
from stores.conftest import ENGINES

if TYPE_CHECKING:
    from jwt_lp.stores import Store

US, THEM = "https://issuer.example/", "https://other.example/"


@pytest.fixture(params=["memory", *ENGINES])
def store(request, tmp_path: Path) -> Iterator[Store]:
    """An empty store, on each engine in turn and in memory."""
    if request.param == "memory":
        yield ReviewedStore()  # type: ignore[misc]
        return
    with ENGINES[request.param](tmp_path) as url:
        store = open_store(url)
        yield store
        store.close()


def use(subject="alice", day="2026-11-24", **other) -> Use:
    parts = {
        "service": "orders", "issuer": US, "subject": subject, "client": "web", "role": "clerk",
        "endpoint": "/orders/{id}", "method": "GET", "requirement": "orders:read & x", "permission": "orders:read",
        "grant": "orders:*", "outcome": "granted", "day": day,
    }  # fmt: skip
    return Use(**{**parts, **other})


def summary(subject="alice", uses=1, days=1, first="2026-11-24", last="2026-11-24", **other) -> UsageSummary:
    parts = {
        "issuer": US, "client": "web", "role": "clerk", "permission": "orders:read", "grant": "orders:*",
        "outcome": "granted",
    }  # fmt: skip
    return UsageSummary(
        **{**parts, "subject": subject, "uses": uses, "days": days, "first_day": first, "last_day": last, **other}
    )


def put(store: Store, *uses: Use, count: int = 1) -> None:
    store.record(UsageBatch(id=os.urandom(4).hex(), uses=dict.fromkeys(uses, (count, 1.0))))


def test_an_empty_store_adds_up_to_nothing(store: Store) -> None:
    """Without usage every query returns no rows."""
    for rows in (
        store.summary(until="2026-12-31"),
        store.requested_permissions(until="2026-12-31"),
        store.months(until="2026-12-31"),
        store.days(until="2026-12-31"),
        store.days(until="2026-12-31", subjects=[]),
    ):
        assert [] == list(rows)


def test_uses_are_added_up_over_days(store: Store) -> None:
    """Uses of one permission through one grant by one holder are one row, with the first and the last day."""
    put(store, use(day="2026-11-20"), use(day="2026-11-24"), use(day="2026-11-22"), count=3)
    assert [summary(uses=9, days=3, first="2026-11-20")] == list(store.summary(until="2026-11-24"))


def test_until_is_included(store: Store) -> None:
    """Uses on later days are not in the sums, and holders who used nothing before have none."""
    put(store, *(use(day=f"2026-11-{day}") for day in range(20, 26)), use("bob", day="2026-11-25"), use("carol"))
    expected = [summary(uses=5, days=5, first="2026-11-20"), summary("carol")]
    assert expected == list(store.summary(until="2026-11-24"))
    assert expected[:0] == list(store.summary(until="2026-11-24", issuer=THEM))
    assert expected == list(store.summary(until="2026-11-24", issuer=US))


def test_the_number_of_days_is_bounded_by_first_and_last(store: Store) -> None:
    """Services and endpoints are added up, but there are never more days than from the first to the last."""
    put(store, use(), use(endpoint="/other"), use(service="billing"), count=2)
    assert [summary(uses=6, days=1)] == list(store.summary(until="2026-11-24"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("client", "app"), ("role", ""), ("permission", "a:b"), ("grant", "a:b"), ("outcome", "denied")],
)
def test_different_holders_grants_and_outcomes_are_different_rows(store: Store, name: str, value: str) -> None:
    """Another client, role, permission, grant or outcome is another row."""
    put(store, use(), use(**{name: value}))
    assert sorted([summary(), summary(**{name: value})]) == list(store.summary(until="2026-11-24"))


def test_sums_come_in_order_of_issuer_and_subject(store: Store) -> None:
    """They are ordered by code point, whatever the collation of the database."""
    names = ["alice", "Zoe", "\xe9mile", "bob", "\U0001f600"]
    put(store, *(use(name, issuer=issuer) for name in names for issuer in (THEM, US)))
    expected = [(issuer, name) for issuer in (US, THEM) for name in sorted(names)]
    assert expected == [(row.issuer, row.subject) for row in store.summary(until="2026-11-24")]


def test_sums_of_one_issuer(store: Store) -> None:
    """Uses by subjects of another issuer are left out."""
    put(store, use(), use(issuer=THEM))
    assert [summary(issuer=THEM)] == list(store.summary(until="2026-11-24", issuer=THEM))
    assert [DayRow(THEM, "alice", "orders:*", "2026-11-24")] == list(store.days(until="2026-11-24", issuer=THEM))


def test_requested_permissions_of_enforcement_points(store: Store) -> None:
    """Granted and refused uses count separately, observed ones in neither; the last day is that of any use."""
    put(store, use(), use("bob"), count=2)
    put(store, use(outcome="denied", grant=""), use(outcome="revoked", grant=""), count=5)
    put(store, use(outcome="observed", day="2026-11-25"), use(day="2026-11-26"), count=9)
    put(store, use(outcome="denied", method="POST"))
    point = "orders", "/orders/{id}"
    assert [
        RequestedPermission(*point, "GET", "orders:read & x", "orders:read", 4, 10, "2026-11-25"),
        RequestedPermission(*point, "POST", "orders:read & x", "orders:read", 0, 1, "2026-11-24"),
    ] == list(store.requested_permissions(until="2026-11-25"))


def test_months_are_counted_by_outcome(store: Store) -> None:
    """Each month with uses has one row for each outcome."""
    put(store, use(day="2026-11-01"), use("bob", day="2026-11-30"), use(day="2026-12-01"), count=2)
    put(store, use(outcome="denied", day="2026-11-15"), use(day="2026-12-02"))
    assert [
        MonthRow("2026-11", "denied", 1),
        MonthRow("2026-11", "granted", 4),
        MonthRow("2026-12", "granted", 2),
    ] == list(store.months(until="2026-12-01"))


def test_days_of_use_come_once(store: Store) -> None:
    """Each day of a grant is one row, however it was used; without a credited grant the row has the permission."""
    put(store, use(), use(endpoint="/other"), use(day="2026-11-20"), use(grant=""), use(day="2026-11-25"))
    put(store, use(outcome="denied", grant="", permission="x:y"), use("bob"))
    assert [
        DayRow(US, "alice", "orders:*", "2026-11-20"),
        DayRow(US, "alice", "orders:*", "2026-11-24"),
        DayRow(US, "alice", "orders:read", "2026-11-24"),
        DayRow(US, "bob", "orders:*", "2026-11-24"),
    ] == list(store.days(until="2026-11-24"))


def test_days_of_many_subjects(store: Store) -> None:
    """More subjects than one statement can name are returned in order, each once."""
    names = [f"s{number}" for number in range(1200)]
    put(store, *map(use, names), use("s1", issuer=THEM), use("s2", issuer=THEM))
    wanted = [(US, name) for name in names if name != "s7"]
    days = list(store.days(until="2026-11-24", subjects=[(THEM, "s1"), *reversed(wanted), wanted[0]]))
    assert [*sorted(wanted), (THEM, "s1")] == [(row.issuer, row.subject) for row in days]


def test_a_day_that_is_not_a_date_is_refused(url: str) -> None:
    """It raises `ValueError`."""
    store = open_store(url)
    with pytest.raises(ValueError, match="isoformat"):
        list(store.summary(until="yesterday"))
    store.close()


def test_a_missing_table_is_reported(postgres: str) -> None:
    """An error in a parallel query of PostgreSQL is translated like any other error."""
    import psycopg

    store = open_store(postgres)
    store.migrate()
    put(store, use())
    with psycopg.connect(postgres) as other:
        other.execute("DROP TABLE jwt_lp_holder_sum, jwt_lp_usage")
    for read in (store.summary, store.days):
        with pytest.raises(ConfigurationError, match="store migrate"):
            list(read(until="2026-11-24"))
    store.close()


def test_a_stream_of_sums_can_be_abandoned(url: str) -> None:
    """After it the store answers the next query."""
    store = open_store(url)
    put(store, *(use(f"s{number}") for number in range(5000)))
    rows = store.summary(until="2026-11-24")
    assert 3 == len(list(islice(rows, 3)))
    del rows
    assert [MonthRow("2026-11", "granted", 5000)] == list(store.months(until="2026-11-24"))
    store.close()


def test_days_of_use_by_an_elevation_are_left_out(store: Store) -> None:
    """They are no use of a standing grant; a role whose name only begins like it, in other letters, is one."""
    put(store, use(role="elevation:7", day="2026-11-20"), use(role="Elevation:7", day="2026-11-21"), use(role="clerk"))
    assert ["2026-11-21", "2026-11-24"] == [row.day for row in store.days(until="2026-11-24")]
    assert ["2026-11-21", "2026-11-24"] == [row.day for row in store.days(until="2026-11-24", subjects=[(US, "alice")])]
