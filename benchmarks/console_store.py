"""A store for the benchmark of the console: PostgreSQL with 62 permissions each of 10,000 subjects, and a campaign.

The server is the one that BENCH_POSTGRES names. The database is dropped afterwards.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg import sql

from jwt_lp import Policy, SigningKey
from jwt_lp.campaigns import Campaigns, ReviewOptions
from jwt_lp.review import DecisionRule, Person
from jwt_lp.stores import Actor, EnforcementPoint, HeldGrant, RecordingPeriod, Store, UsageBatch, open_store

SERVER: Final = "postgresql://root@127.0.0.1:5432/postgres"
ISSUER: Final = "https://id.bench.test/"
SERVICES: Final = 5
PERMISSIONS: Final = 300
AREAS: Final = 20
EACH: Final = 62
"""How many permissions each subject has used: with 10,000 subjects 620,000 groups of holder and permission."""
DIRECT: Final = 8
"""How many of them are held directly; the others come from roles."""
LEFT: Final = 6
"""Of the direct ones, so many were used lately; the last ones were not."""
YEAR: Final = 365

CONSOLE: Final = (
    *("jwt-lp:review:read", "jwt-lp:review:decide", "jwt-lp:review:apply"),
    *("jwt-lp:elevation:approve", "jwt-lp:revocation:write"),
)

# Each subject uses 62 of 300 permissions, the first ones directly and the rest through the roles of five areas. `k` is
# the number among those of the subject; 4 has no factor in common with 75, so that they are all different.
_USES: Final = """
SELECT subject, k, permission, permission % {areas} AS area,
    CASE WHEN k >= {direct} THEN (subject * 31 + k * 17) % 60
         WHEN k < {left} THEN (subject + k) % 30 ELSE 200 + (subject * 13 + k) % 160 END AS age
FROM (
    SELECT subject, k, (subject * 7 + k * 4) % {permissions} AS permission
    FROM generate_series(0, {subjects} - 1) subject, generate_series(0, {each} - 1) k
) one
"""
_FILL: Final = """
INSERT INTO jwt_lp_usage
    (count, last, day, id, service, issuer, subject, client, role, endpoint, method, requirement, permission, "grant",
     outcome)
SELECT 1 + (subject + k + ago) % 7, extract(epoch FROM day), day,
    decode(md5(subject || ' ' || k || ' ' || ago), 'hex'), 'service-' || permission % {services}, {issuer},
    'subject-' || subject, 'client-' || subject % 4, CASE WHEN k < {direct} THEN '' ELSE 'role-' || area END,
    '/things/' || permission, 'GET', name, name,
    CASE WHEN k < {direct} THEN name ELSE 'area-' || area || ':*:read' END, 'granted'
FROM (
    SELECT uses.*, ago, 'area-' || area || ':thing-' || permission || ':read' AS name, {today}::date - age - ago AS day
    FROM ({uses}) uses, (VALUES (0), (40)) times(ago)
    WHERE ago = 0 OR (subject + k) % 3 = 0
) dated
"""
_SEEN: Final = """
INSERT INTO jwt_lp_sighting (first_day, last_day, id, issuer, subject, client, role, "grant")
SELECT {today}::date - 400, {today}::date - min(age), decode(md5(subject || ' ' || role || ' ' || held), 'hex'), {issuer},
    'subject-' || subject, 'client-' || subject % 4, role, held
FROM (
    SELECT subject, age, CASE WHEN k < {direct} THEN '' ELSE 'role-' || area END AS role,
        'area-' || area || CASE WHEN k < {direct} THEN ':thing-' || permission || ':read' ELSE ':*:read' END AS held
    FROM ({uses}) uses
) seen
GROUP BY subject, role, held
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSize:
    """How many subjects the store has, and how many reviewers the campaign."""

    subjects: int
    reviewers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchedStore:
    """The URL of the store, the settings of the console's guard, the campaign, and the key that signs people in."""

    url: str
    size: ConsoleSize
    settings: dict[str, Any]
    campaign: str
    key: SigningKey


def policy() -> dict[str, Any]:
    """A policy with a role for each area."""
    names = [
        f"area-{number % AREAS}:thing-{number}:{verb}" for number in range(PERMISSIONS) for verb in ("read", "write")
    ]
    return {
        "version": 1,
        "permissions": {name: {} for name in (*CONSOLE, *names)},
        "roles": {f"role-{area}": {"grants": [f"area-{area}:*:read"]} for area in range(AREAS)},
        "audiences": {"console": {}},
    }


def people(size: ConsoleSize) -> dict[str, Person]:
    """Everybody by subject; each reviewer is the manager of as many."""
    managers = {f"manager-{number}": Person(f"Manager {number}", "Management", "") for number in range(size.reviewers)}
    return managers | {
        f"subject-{number}": Person(f"Person {number}", f"Team {number % 100}", f"manager-{number % size.reviewers}")
        for number in range(size.subjects)
    }


@contextmanager
def benched_store(size: ConsoleSize) -> Iterator[BenchedStore]:
    """The store, filled, with a frozen campaign; told what takes how long."""
    server = os.environ.get("BENCH_POSTGRES", SERVER)
    name = f"jwt_lp_bench_{secrets.token_hex(4)}"
    url = f"{server.rpartition('/')[0]}/{name}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            key = SigningKey.generate(kid="bench")
            store = open_store(url)
            try:
                _fill(store, url, size)
                campaign = _freeze(store, size)
            finally:
                store.close()
            yield BenchedStore(url=url, size=size, settings=_settings(url, key), campaign=campaign, key=key)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _settings(url: str, key: SigningKey) -> dict[str, Any]:
    return {
        "ISSUER": ISSUER,
        "AUDIENCE": "console",
        "ALGORITHMS": ["ES256"],
        "JWKS": {"keys": [key.public_jwk()]},
        "OWN": True,
        "POLICY": policy(),
        "STORE": url,
        "COOKIE": True,
    }


def _fill(store: Store, url: str, size: ConsoleSize) -> None:
    start = time.perf_counter()
    store.migrate()
    today = datetime.now(UTC).date()
    numbers = {
        name: sql.Literal(value)
        for name, value in {
            "areas": AREAS, "direct": DIRECT, "left": LEFT, "permissions": PERMISSIONS, "each": EACH,
            "subjects": size.subjects, "services": SERVICES, "issuer": ISSUER, "today": today.isoformat(),
        }.items()
    }  # fmt: skip
    uses = sql.SQL(_USES).format(**numbers)
    with psycopg.connect(url, autocommit=True) as connection:
        for query in (_FILL, _SEEN):
            connection.execute(sql.SQL(query).format(uses=uses, **numbers))
    _record_base(store, today)
    store.import_grants(_held(size), as_of=today.isoformat(), complete=True)
    store.rebuild_sums()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        counts = [_count(connection, table) for table in ("jwt_lp_holder_sum", "jwt_lp_usage", "jwt_lp_held")]
    print(
        "{:,} groups of holder and permission, {:,} rows of usage, {:,} assignments".format(*counts)
        + f", made in {time.perf_counter() - start:.0f} s",
        flush=True,
    )


def _record_base(store: Store, today: date) -> None:
    """A year of recording, and the endpoints."""
    first = (today - timedelta(days=YEAR)).isoformat()
    points = [
        EnforcementPoint(
            f"service-{number % SERVICES}",
            f"/things/{number}",
            "GET",
            f"area-{number % AREAS}:thing-{number}:read",
            first,
        )
        for number in range(PERMISSIONS)
    ]
    now = time.time()
    period = RecordingPeriod(id="bench", service="service-0", started=now - YEAR * 86400, until=now)
    store.record(UsageBatch(id="bench", uses={}, enforcement_points=points, period=period))


def _held(size: ConsoleSize) -> Iterator[HeldGrant]:
    """Of each subject: the roles of its areas, what it holds directly, and a permission that it never used."""
    since = (datetime.now(UTC).date() - timedelta(days=500)).isoformat()
    for subject in range(size.subjects):
        used = [(subject * 7 + k * 4) % PERMISSIONS for k in range(EACH)]
        name = f"subject-{subject}"
        for area in sorted({number % AREAS for number in used[DIRECT:]}):
            yield HeldGrant(ISSUER, name, "", f"role-{area}", "", since)
        for number in used[:DIRECT]:
            yield HeldGrant(ISSUER, name, "", "", f"area-{number % AREAS}:thing-{number}:read", since)
        yield HeldGrant(ISSUER, name, "", "", f"area-{used[0] % AREAS}:thing-{used[0]}:write", since)


def _freeze(store: Store, size: ConsoleSize) -> str:
    start = time.perf_counter()
    engine = Campaigns(store, Policy.from_mapping(policy()), people=people(size))
    campaign = engine.freeze(
        Actor(issuer="", subject="bench", name="bench"),
        name="Benchmark",
        deadline=time.time() + 14 * 86400,
        split="manager",
        options=ReviewOptions(rule=DecisionRule("fixed", 90)),
        reviewer_issuer=ISSUER,
    )
    spent = time.perf_counter() - start
    print(f"a campaign of {campaign.items:,} items, frozen in {spent:.0f} s", flush=True)
    return campaign.id


def _count(connection: psycopg.Connection[Any], table: str) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    assert row is not None
    return int(row[0])
