from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from jwt_lp import Guard, all_of
from jwt_lp.cli import observed

START = 'jwt-lp observing {"detail": "requirements are observed and not enforced until 2027-01-31"}'


def event(route="GET /orders", cause="insufficient_scope", missing=("orders:list",), subject="alice", **more):
    members = {
        "status": 403,
        "cause": cause,
        "route": route,
        "missing": list(missing),
        "issuer": "default",
        "subject": subject,
    }
    return f"jwt-lp observed {json.dumps({name: value for name, value in {**members, **more}.items() if value})}"


def _escaped(line, times):
    for _ in range(times):
        line = json.dumps({"m": line})
    return line


@pytest.fixture
def read(cli):
    """Read these lines as a log on standard input."""

    def read(*lines, **env):
        return cli("observed", "-", *env.pop("args", ()), stdin="".join(f"{line}\n" for line in lines), **env)

    return read


@pytest.fixture
def found(read):
    """The same, as JSON."""

    def found(*lines):
        code, out, _ = read(*lines, args=("--json",))
        return {"code": code, **json.loads(out)}

    return found


def test_safe_to_enforce(read):
    """A log of a guard in observe mode without would-be refusals is safe: exit code 0."""
    code, out, _ = read("starting", f"WARNING {START}", "GET /orders 200")
    assert 0 == code
    assert "3 lines: 0 would be refused, 0 were refused" in out
    assert "safe to enforce: " in out


def test_a_log_without_evidence(read):
    """A log without a line of a guard in observe mode is no evidence: exit code 2, and what to check."""
    code, out, _ = read("GET /orders 200", 'jwt-lp refused {"route": "GET /x", "cause": "expired"}')
    assert 2 == code
    assert "no evidence: the log has no line of a guard in observe mode" in out
    assert "safe to enforce" not in out


def test_refusals_are_grouped(read):
    """Would-be refusals are listed by route and reason, the most frequent first: exit code 1."""
    code, out, _ = read(
        START,
        event(route="GET /me", cause="expired", missing=(), subject=None, issuer=None),
        *(event(subject=f"user{number}") for number in range(6)),
        event(subject="user0"),
        event(missing=("orders:list", "orders:export"), requirement="orders:list & orders:export"),
    )
    assert 1 == code
    assert (
        """\
7 x GET /orders
  why  insufficient_scope: lacks orders:list
  who  default/user0, default/user1, default/user2 +3
1 x GET /me
  why  expired
  who  no subject: no valid token was sent
1 x GET /orders
  requires  orders:list & orders:export
  why       insufficient_scope: lacks orders:list, orders:export
  who       default/alice
10 lines: 9 would be refused, 0 were refused
not yet safe to enforce
"""
        == out
    )


@pytest.mark.parametrize(
    "wrap",
    [
        lambda line: line,
        lambda line: f"2027-01-02 03:04:05,678 WARNING jwt_lp {line}",
        lambda line: json.dumps({"message": line, "level": "WARNING"}),
        lambda line: json.dumps({"level": "WARNING", "message": line, "jwt_lp": {"event": "observed"}}),
        lambda line: json.dumps({"log": json.dumps({"message": f"WARNING {line}"}) + "\n", "stream": "stderr"}),
        lambda line: "shop-1 | " + json.dumps({"log": json.dumps({"log": json.dumps({"m": line})})}),
        lambda line: f'<12>1 - shop "{line}" trailing {{text}}',
    ],
)
def test_lines_of_every_format(found, wrap):
    """The guard's line is read alone, behind a prefix, and in JSON however often it was escaped."""
    group = found(wrap(event(subject='o"brien\\', missing=["orders:{id}:read"])))["groups"][0]
    assert {
        "route": "GET /orders",
        "cause": "insufficient_scope",
        "missing": ["orders:{id}:read"],
        "subjects": [{"issuer": "default", "subject": 'o"brien\\'}],
    } == {name: group[name] for name in ("route", "cause", "missing", "subjects")}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"2027-01-02 03:04:05,678 {event()}", "2027-01-02T03:04:05Z"),
        (f"2027-01-02T03:04:05.123456789Z {event()}", "2027-01-02T03:04:05Z"),
        (f"2027-01-02T03:04:05+02:00 {event()}", "2027-01-02T03:04:05+02:00"),
        (json.dumps({"message": event(), "timestamp": "2027-01-02T03:04:05Z"}), "2027-01-02T03:04:05Z"),
        (json.dumps({"ts": 1798859045.5, "message": event()}), "2027-01-02T03:04:05Z"),
        (json.dumps({"message": event(), "time": 1798859045}), "2027-01-02T03:04:05Z"),
        (f"2027-99-99 03:04:05 {event()}", None),
        (event(subject="2027-01-02T03:04:05Z"), None),
    ],
)
def test_times_are_found_where_there_are_any(found, line, expected):
    """The time of a line is read from before or after the event, never from inside it."""
    assert expected == found(line)["groups"][0]["first"]


def test_first_and_last(read):
    """The earliest and the latest time of a group are shown, in whatever order the lines come."""
    days = ("2027-01-03", "2027-01-02", "2027-01-04")
    _, out, _ = read(*(f"{day} 00:00:00 {event()}" for day in days))
    assert "2027-01-02T00:00:00Z to 2027-01-04T00:00:00Z" in out


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(_escaped(event(), 6), id="escaped too often"),
        'jwt-lp observed {"route": "GET /or',
        "jwt-lp observed {]}",
        'jwt-lp observed {\\"route\\": \\"x',
        "jwt-lp observing {",
    ],
)
def test_lines_that_cannot_be_read_are_counted(read, line):
    """A guard line that was cut off is counted, and the log is not safe."""
    code, out, _ = read(START, line)
    assert 1 == code
    assert "!! 1 guard lines could not be read" in out or "!! 1 guard line could not be read" in out


def test_odd_events_are_survived(found):
    """An event whose members have other types than the guard's is counted all the same."""
    result = found('jwt-lp observed {"route": 7, "missing": "x", "subject": ["a"]}')
    assert [1, "", [], []] == [
        result["observed"],
        *(result["groups"][0][name] for name in ("route", "missing", "subjects")),
    ]
    assert 1 == result["code"]


def test_refused_lines_are_counted_apart(found):
    """Requests that observe mode refused anyway (revoked, enforced, no key set) do not make enforcement unsafe."""
    result = found(START, 'jwt-lp refused {"cause": "expired", "route": "GET /x"}')
    assert [0, True, 1, 0] == [result[name] for name in ("code", "safe", "refused", "observed")]


def test_two_events_in_one_line(found):
    """Lines that were joined are two events, and one event that quotes another is one."""
    assert 2 == found(f"{event()} {event()}")["observed"]
    assert 1 == found(event(detail="jwt-lp observed {}"))["observed"]


def test_memory_is_bounded(found, monkeypatch):
    """Groups and subjects beyond a limit are counted but not kept, and very long lines are read in parts."""
    monkeypatch.setattr(observed, "_MAX_GROUPS", 2)
    monkeypatch.setattr(observed, "_MAX_SUBJECTS", 4)
    monkeypatch.setattr(observed, "_MAX_LINE", 1000)
    lines = [event(subject=f"u{number}") for number in range(6)]
    result = found(*lines, *(event(route=f"GET /{number}") for number in range(3)), "x" * 5000)
    assert [2, 2, 9, 15] == [len(result["groups"]), result["beyond"], result["observed"], result["lines"]]
    assert [4, True] == [result["groups"][0][name] for name in ("distinct_subjects", "more_subjects")]
    assert 3 == len(result["groups"][0]["subjects"])


def test_limits_are_reported(read, monkeypatch):
    """The text output reports groups and subjects beyond a limit."""
    monkeypatch.setattr(observed, "_MAX_GROUPS", 1)
    monkeypatch.setattr(observed, "_MAX_SUBJECTS", 4)
    _, out, _ = read(*(event(subject=f"u{number}") for number in range(6)), event(route="GET /other"))
    assert "default/u0, default/u1, default/u2 +1 or more" in out
    assert "!! 1 more in groups beyond the first 1" in out


def test_a_log_cannot_steer_the_terminal(read):
    """The content of an event is printed escaped."""
    _, out, _ = read(event(route="GET /\x1b[2J", cause="a\nb", missing=("\u202e",), subject="\x07"))
    assert "\x1b" not in out
    for message in ("GET /\\x1b[2J", "a\\nb", "\\u202e", "default/\\x07"):
        assert message in out


def test_several_files_and_bytes_that_are_no_text(project, cli):
    """Several files are read, and bytes that are not UTF-8 are replaced."""
    (project.folder / "one.log").write_bytes(b"\xff\xfe\x00\n" + START.encode() + b"\n")
    (project.folder / "two.log").write_bytes(event().encode())
    code, out, _ = cli("observed", "one.log", "two.log")
    assert 1 == code
    assert "3 lines: 1 would be refused" in out


def test_a_file_that_is_not_there(cli):
    """A missing file, and no file at all, are wrong usage."""
    assert [2, 2] == [cli("observed", "/nowhere/at/all.log")[0], cli("observed")[0]]


def test_what_the_guard_itself_writes(project, found):
    """The log lines of a real guard in observe mode are read, with and without would-be refusals."""
    lines = []

    class Handler(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    handler = Handler()
    log = logging.getLogger("jwt_lp")
    log.addHandler(handler)
    try:
        soon = (datetime.now(UTC).date() + timedelta(days=5)).isoformat()
        with Guard(project.authority.settings(OBSERVE_UNTIL=soon)) as guard:
            quiet = list(lines)
            header = project.authority.headers("bob", ["orders:read"])["Authorization"]
            guard.check(header, all_of("orders:{order_id}:read"), {"order_id": "7"}, "GET /orders/{order_id}")
            guard.check(None, None, {}, "GET /undeclared")
    finally:
        log.removeHandler(handler)
    assert [0, True] == [found(*quiet)[name] for name in ("code", "safe")]
    result = found(*lines)
    assert [1, False, 2] == [result[name] for name in ("code", "safe", "observed")]
    assert [("GET /orders/{order_id}", "insufficient_scope"), ("GET /undeclared", "undeclared_route")] == [
        (group["route"], group["cause"]) for group in result["groups"]
    ]
