"""Usage and held grants imported from rows of a file."""

from __future__ import annotations

from itertools import pairwise

import pytest

from jwt_lp.errors import ConfigurationError
from jwt_lp.stores import EnforcementPoint, HeldGrant, ObservedGrant, Use
from jwt_lp.usage import usage_import
from jwt_lp.usage.assignment_import import ASSIGNMENT_FIELDS, read_assignments
from jwt_lp.usage.recorder import plain_subject
from jwt_lp.usage.route_matcher import RouteMatcher
from jwt_lp.usage.row_reader import Row
from jwt_lp.usage.usage_import import ImportSummary, build_batches, import_id, parse_mapping
from jwt_lp.usage.usage_records import LOG_FIELDS, USAGE_FIELDS, AccessLogReader, UsageRowReader, parse_moment
from memory_store import MemoryStore

NOW = 1_780_000_000.0  # 2026-05-28
USES = UsageRowReader("https://issuer.test/", "orders", plain_subject, NOW)
ROUTES = RouteMatcher(
    [
        {"template": "/orders", "methods": ["GET"], "endpoint": "shop.orders", "kind": "requirement",
         "requirement": "orders:list", "permissions": ["orders:list"]},
        {"template": "/orders/{id}", "methods": ["GET"], "endpoint": "shop.order", "kind": "requirement",
         "requirement": "orders:{id}:read", "permissions": ["orders:{id}:read"]},
        {"template": "/either", "methods": ["GET"], "endpoint": "shop.either", "kind": "requirement",
         "requirement": "a | b", "permissions": ["a", "b"]},
        {"template": "/health", "methods": ["GET"], "endpoint": "shop.health", "kind": "public",
         "requirement": "public", "permissions": []},
    ]
)  # fmt: skip
LOG = AccessLogReader(ROUTES, "https://issuer.test/", "orders", plain_subject, NOW)


def _row(line=2, **values):
    base = {"subject": "alice", "permission": "orders:read", "day": "2026-05-01"}
    return Row(line, [{**base, **values}.get(name, "") for name in USAGE_FIELDS])


def _request(**values):
    base = {"subject": "alice", "day": "2026-05-01", "method": "GET", "path": "/orders", "status": "200"}
    return Row(2, [{**base, **values}.get(name, "") for name in LOG_FIELDS])


def _use(**values):
    base = Use(
        "orders", "https://issuer.test/", "alice", "", "", "", "", "orders:read", "orders:read", "orders:read",
        "granted", "2026-05-01",
    )  # fmt: skip
    return base._replace(**values)


def test_a_row_with_the_required_fields():
    """Subject, permission and day make a use; the other fields get their defaults."""
    result = USES.read(_row())
    assert ((_use(),), 1, 1_777_593_600.0, "") == (result.uses, result.times, result.at, result.reason)


def test_a_row_with_every_field():
    """Each field of the row becomes a part of the use."""
    values = {
        "issuer": "https://other.test/", "service": "bills", "client": "web", "role": "clerk",
        "endpoint": "shop.x", "method": "GET", "grant": "orders:*",
    }  # fmt: skip
    result = USES.read(_row(**values, count="12", outcome="granted", day="2026-05-01T23:30:00-02:00"))
    assert ((_use(**values, day="2026-05-02"),), 12) == (result.uses, result.times)


def test_a_denial_has_no_grant():
    """A refused use has neither grant nor role, whatever the row says."""
    assert (_use(outcome="denied", grant=""),) == USES.read(_row(outcome="denied", role="r", grant="g")).uses


def test_a_template_is_not_a_grant():
    """A template is stored as written, and no grant is credited for it."""
    assert "" == USES.read(_row(permission="orders:{id}:read")).uses[0].grant


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"day": "soon"}, "its day is not an ISO date"),
        ({"day": "2026-02-30"}, "its day is not an ISO date"),
        ({"day": ""}, "its day is not an ISO date"),
        ({"day": "2027-01-01"}, "its day is in the future"),
        ({"permission": ""}, "its permission is not a permission"),
        ({"permission": "a b"}, "its permission is not a permission"),
        ({"permission": "orders:*"}, "its permission is not a permission"),
        ({"permission": "a" * 300}, "its permission is not a permission"),
        ({"grant": "a b"}, "its grant is neither a permission nor a pattern"),
        ({"grant": "or*"}, "its grant is neither a permission nor a pattern"),
        ({"subject": ""}, "it has no subject"),
        ({"subject": "-"}, "it has no subject"),
        ({"subject": "a\0"}, "it has a character that is not printable"),
        ({"client": "\udcff"}, "it has a character that is not printable"),
        ({"outcome": "maybe"}, "its outcome is not one of denied, granted, observed, revoked"),
        ({"count": "0"}, "its count is not a whole number from 1 on"),
        ({"count": "-1"}, "its count is not a whole number from 1 on"),
        ({"count": "1" * 13}, "its count is not a whole number from 1 on"),
    ],
)
def test_a_faulty_row_of_usage(values, reason):
    """It has no use, and a reason that repeats nothing of the row."""
    result = USES.read(_row(**values))
    assert ((), True, True) == (result.uses, result.is_fault, result.reason.startswith(reason))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-05-01", ("2026-05-01", 1_777_593_600.0)),
        ("2026-05-01T12:00:00Z", ("2026-05-01", 1_777_636_800.0)),
        ("2026-05-01 12:00:00", ("2026-05-01", 1_777_636_800.0)),
        ("2026-05-01T00:30:00+01:00", ("2026-04-30", 1_777_591_800.0)),
        ("1777636800", ("2026-05-01", 1_777_636_800.0)),
        ("1777636800.25", ("2026-05-01", 1_777_636_800.25)),
        ("1777636800000", None),
        ("1900-01-01", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("99999999999", ("5138-11-16", 99999999999.0)),
        ("01/May/2026", None),
        ("01/May/2026:00:30:00 +0100", ("2026-04-30", 1_777_591_800.0)),
        ("01/Mai/2026:00:30:00 +0100", None),
        ("31/Feb/2026:00:30:00 +0100", None),
        ("01/May/2026:00:30:00 +9900", None),
    ],
)
def test_parsing_a_time(text, moment):
    """ISO days, ISO times and seconds are read; a time without an offset is UTC."""
    assert moment == parse_moment(text)


@pytest.mark.parametrize(
    ("values", "outcome"),
    [({}, "granted"), ({"status": "304"}, "granted"), ({"status": "403"}, "denied"), ({"status": "401"}, "denied")],
)
def test_a_line_of_an_access_log(values, outcome):
    """A request that passed is a granted use of its route's permission, and a refused one a denied use."""
    (use,) = LOG.read(_request(**values)).uses
    expected = _use(
        endpoint="shop.orders", method="GET", requirement="orders:list", permission="orders:list",
        grant="orders:list" if outcome == "granted" else "", outcome=outcome,
    )  # fmt: skip
    assert expected == use


@pytest.mark.parametrize("status", ["0", "000", "-"])
def test_a_request_that_got_no_response(status):
    """It is neither a use nor a fault, however the server writes it."""
    result = LOG.read(_request(status=status))
    assert ((), False, "its request got no response") == (result.uses, result.is_fault, result.reason)


def test_a_route_with_a_template():
    """The use has the template, and no value from the path."""
    (use,) = LOG.read(_request(path="/orders/4711")).uses
    assert ("orders:{id}:read", "", False) == (use.permission, use.grant, "4711" in repr(use))


def test_a_route_that_asks_for_any_of_several():
    """The log does not say which one served, so each is counted and marked; a denial means that all were missing."""
    passed, refused = LOG.read(_request(path="/either")), LOG.read(_request(path="/either", status="403"))
    assert (["a", "b"], True) == ([use.permission for use in passed.uses], passed.is_alternative)
    assert (["a", "b"], False) == ([use.permission for use in refused.uses], refused.is_alternative)


@pytest.mark.parametrize(
    ("values", "reason", "is_fault"),
    [
        ({"status": "404"}, "its status says nothing about permissions", False),
        ({"status": "500"}, "its status says nothing about permissions", False),
        ({"status": "x"}, "its status is not an HTTP status", True),
        ({"day": "x"}, "its day is not an ISO date", True),
        ({"subject": "-", "status": "401"}, "it has no subject", False),
        ({"path": "/nowhere"}, "no route has its method and path", False),
        ({"path": "/health"}, "its route requires no permission: public", False),
        ({"client": "\0"}, "it has a character that is not printable", True),
    ],
)
def test_a_logged_request_without_a_use(values, reason, is_fault):
    """It is left out, and is a fault only if it cannot be read."""
    result = LOG.read(_request(**values))
    assert ((), is_fault, True) == (result.uses, result.is_fault, result.reason.startswith(reason))


def test_the_columns_of_a_file():
    """`time` is another name for the field `day`."""
    assert {"subject": "user", "day": "ts"} == parse_mapping(["subject=user", " time = ts "], USAGE_FIELDS)


def test_a_mapping_with_faults():
    """Every fault is named, with a suggestion."""
    with pytest.raises(ConfigurationError) as raised:
        parse_mapping(["subject", "subjet=a", "xyz=a", "day=a", "time=b"], ("subject", "day"))
    assert (
        "--map 'subject': write field=column, such as subject=user",
        "--map 'subjet': no such field; did you mean 'subject'?",
        "--map 'xyz': no such field; there are subject, day",
        "--map: day is given twice",
    ) == raised.value.faults


def _import(rows, store, tally=None):
    tally = tally or ImportSummary()
    for batch in build_batches(rows, USES.read, "d1", tally):
        tally.batches += 1
        tally.added += store.record(batch)
    return tally


def test_a_file_counts_once(monkeypatch):
    """The same rows make the same batches, so nothing is counted twice; missing batches are added."""
    monkeypatch.setattr(usage_import, "BATCH_ROWS", 3)
    rows = [_row(number, subject=f"s{number % 4}") for number in range(10)]
    store = MemoryStore()
    assert (4, 4) == ((first := _import(rows, store)).batches, first.added)
    counts = dict(store.counts)
    assert (4, 0, counts) == ((again := _import(rows, store)).batches, again.added, dict(store.counts))
    interrupted = MemoryStore()
    interrupted.record(next(build_batches(rows, USES.read, "d1", ImportSummary())))
    assert (4, 3) == ((rest := _import(rows, interrupted)).batches, rest.added)
    assert (counts, 10) == (dict(interrupted.counts), sum(counts.values()))


def test_a_batch_of_rows():
    """Uses add up; grants that served are observed grants, and each requirement is an enforcement point."""
    store = MemoryStore()
    tally = _import(
        [_row(2), _row(3, count="4"), _row(4, outcome="denied"), _row(5, permission="x:{y}"), Row(6, (), "bad")], store
    )
    (batch,) = store.batches
    assert [(5, 1_777_593_600.0), (1, 1_777_593_600.0), (1, 1_777_593_600.0)] == list(batch.uses.values())
    assert (
        ObservedGrant("https://issuer.test/", "alice", "", "", "orders:read", "2026-05-01"),
    ) == batch.observed_grants
    assert {
        EnforcementPoint("orders", "", "", "orders:read", "2026-05-01"),
        EnforcementPoint("orders", "", "", "x:{y}", "2026-05-01"),
    } == set(batch.enforcement_points)
    assert "import:d1:0" == batch.id
    assert ({"granted": 6, "denied": 1}, {"bad": (1, 6, True)}, 5, 1) == (
        tally.outcomes,
        tally.reasons,
        tally.rows,
        tally.fault_count,
    )
    assert ("2026-05-01", "2026-05-01") == (tally.first, tally.last)


def test_the_recording_period_of_an_import(monkeypatch):
    """For each service it lasts from the first day to the end of the last, in whatever order the rows come."""
    monkeypatch.setattr(usage_import, "BATCH_ROWS", 2)
    store = MemoryStore()
    days = ["2026-05-03", "2026-05-02", "2026-05-05", "2026-05-04"]
    _import([*(_row(day=day) for day in days), _row(service="bills"), _row(service="a")], store)
    periods = [batch.period for batch in store.batches if batch.period is not None]
    assert [("orders", 2), ("orders", 4), ("a", 1), ("bills", 1)] == [
        (period.service, period.recorded) for period in periods
    ]
    first, second = periods[:2]
    assert {(first.id, first.source)} == {(second.id, "import")}
    begin, after = parse_moment("2026-05-02"), parse_moment("2026-05-06")
    assert begin is not None
    assert after is not None
    assert (begin.at, after.at - 1) == (second.started, second.until)
    assert 4 == len({batch.id for batch in store.batches})
    assert all(one.id != other.id for one, other in pairwise(periods[1:]))


def test_rows_without_a_use_make_no_batch():
    """If there is nothing to count, nothing is written."""
    store = MemoryStore()
    tally = _import([_row(2, day="x"), _row(3, day="y")], store)
    assert ([], 2, {"its day is not an ISO date, ISO time or number of seconds since the epoch": (2, 2, True)}) == (
        store.batches, tally.rows, tally.reasons,
    )  # fmt: skip


def test_the_identity_of_an_import():
    """The same file read with other options is another import."""
    one = import_id("d", {"a": 1, "b": 2})
    assert one == import_id("d", {"b": 2, "a": 1})
    assert 3 == len({one, import_id("d", {"a": 1, "b": 3}), import_id("e", {"a": 1, "b": 2})})


def _held(line=2, **values):
    return Row(line, [values.get(name, "") for name in ASSIGNMENT_FIELDS])


def test_rows_of_held_grants():
    """A row is a grant, a whole role, or a grant through a role, held by a subject or by a client."""
    skipped = []
    rows = [
        _held(subject="alice", grant="orders:*", since="2026-01-01"),
        _held(client="job", role="clerk", issuer="https://other.test/"),
    ]
    assert [
        HeldGrant("https://issuer.test/", "alice", "", "", "orders:*", "2026-01-01"),
        HeldGrant("https://other.test/", "", "job", "clerk", ""),
    ] == list(read_assignments(rows, "https://issuer.test/", plain_subject, lambda *reason: skipped.append(reason)))
    assert [] == skipped


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (_held(7, grant="a"), "it has neither a subject nor a client"),
        (_held(7, subject="a"), "it has neither a grant nor a role"),
        (_held(7, subject="a", grant="a b"), "its grant is neither a permission nor a pattern"),
        (_held(7, subject="a", grant="a", since="x"), "its since is not an ISO date"),
        (_held(7, subject="a\n", grant="a"), "it has a character that is not printable"),
        (Row(7, (), "bad"), "bad"),
    ],
)
def test_a_faulty_row_of_held_grants(row, why):
    """It is left out and reported with its line and reason."""
    skipped = []
    assert [] == list(read_assignments([row], "", plain_subject, lambda *reason: skipped.append(reason)))
    assert (7, True) == (skipped[0][0], skipped[0][1].startswith(why))
