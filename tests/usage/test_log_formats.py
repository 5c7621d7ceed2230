"""Formats of access logs: lines as their servers write them, detection, and lines that a client tried to shape."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp.errors import ConfigurationError
from jwt_lp.usage.log_formats import LOG_FORMATS, SYNONYMS, fitting_formats, log_format
from jwt_lp.usage.log_reader import choose_log_format, detect_log_format, read_log
from jwt_lp.usage.row_reader import Row
from jwt_lp.usage.usage_records import LOG_FIELDS

# (format, line, subject, time, method, path, status), the lines of those servers that no test starts as in their manuals
LINES = (
    (
        "combined",
        '127.0.0.1 - alice [30/Nov/2026:01:21:55 +0100] "GET /orders?a=1 HTTP/1.1" 200 2 "-" "curl/7.88.1"',
        "alice", "30/Nov/2026:01:21:55 +0100", "GET", "/orders?a=1", "200",
    ),
    (
        "combined",
        '::1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326',
        "frank", "10/Oct/2000:13:55:36 -0700", "GET", "/apache_pb.gif", "200",
    ),
    (
        "combined",
        r'10.0.0.1 - a\x22b\x5Cc j\xC3\xBC [30/Nov/2026:01:21:55 +0000] "GET /\x22/\xC3\xBC HTTP/2.0" 403 2 "-" "-"',
        'a"b\\c jü', "30/Nov/2026:01:21:55 +0000", "GET", '/"/ü', "403",
    ),
    (
        "combined",
        r'10.0.0.1 - \x61lice [30/Nov/2026:01:21:55 +0000] "GET /a b HTTP/1.1" 200 2 "-" "-"',
        r"\x61lice", "30/Nov/2026:01:21:55 +0000", "GET", "/a b", "200",
    ),
    (
        "combined",
        r'10.0.0.1 - - [30/Nov/2026:01:21:55 +0000] "\x16\x03\x01" 400 150 "-" "-"',
        "-", "30/Nov/2026:01:21:55 +0000", "", "", "400",
    ),
    (
        "traefik",
        ('10.0.0.7 - bob [01/May/2026:10:00:00 +0000] "POST /orders HTTP/2.0" 201 12 "-" "curl/8" 7 "shop@docker" '
        '"http://172.18.0.5:8080" 23ms'),
        "bob", "01/May/2026:10:00:00 +0000", "POST", "/orders", "201",
    ),
    (
        "envoy",
        ('[2016-04-15T20:17:00.310Z] "POST /api/v1/locations HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "nsq2http" '
        '"cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "locations" "tcp://10.0.2.1:80"'),
        "", "2016-04-15T20:17:00.310Z", "POST", "/api/v1/locations", "204",
    ),
    (
        "alb",
        ("https 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.086 "
        '0.048 0.037 200 200 0 57 "GET https://www.example.com:443/orders HTTP/1.1" "curl/7.46.0" '
        "ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/"
        '73e2d6bc24d8a067 "Root=1-58337281-1d84f3d73c47ec4e58577259" "www.example.com" "arn:aws:acm:us-east-2" 1 '
        '2018-07-02T22:22:48.364000Z "authenticate,forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_123456'),
        "", "2018-07-02T22:23:00.186641Z", "GET", "https://www.example.com:443/orders", "200",
    ),
    (
        "uvicorn", 'INFO:     127.0.0.1:52312 - "GET /orders HTTP/1.1" 404 Not Found',
        "", "", "GET", "/orders", "404",
    ),
    (
        "uvicorn", '2026-05-01 12:00:00,123 INFO:     127.0.0.1:52312 - "GET /orders?x=%22 HTTP/1.1" 200 OK',
        "", "2026-05-01 12:00:00,123", "GET", "/orders?x=%22", "200",
    ),
    (
        "traefik-json",
        ('{"ClientUsername":"bob","DownstreamStatus":200,"RequestMethod":"GET","RequestPath":"/orders?x=1","RequestHost":"a",'
        '"RequestProtocol":"HTTP/2.0","StartUTC":"2026-09-29T23:05:40.189830187Z","time":"2026-09-29T23:05:41Z","TLS":true}'),
        "bob", "2026-09-29T23:05:40.189830187Z", "GET", "/orders?x=1", "200",
    ),
    (
        "nginx-json",
        '{"remote_user":"alice","time_iso8601":"2026-11-30T01:21:55+00:00","request":"GET /orders HTTP/1.1","status":"200"}',
        "alice", "2026-11-30T01:21:55+00:00", "GET", "/orders", "200",
    ),
    (
        "nginx-json",
        '{"remote_user":"","msec":1790000000.123,"request_method":"PUT","request_uri":"/orders/7","status":403}',
        "", "1790000000.123", "PUT", "/orders/7", "403",
    ),
)  # fmt: skip


def _row(name, line, columns=None):
    """The row of one line, as a mapping; a subject that the format has not got is taken from its status."""
    form = log_format(name)
    mapped = dict.fromkeys(form.lacks, "status") if columns is None else columns
    (row,) = read_log([line], form, mapped)
    return row if row.fault else dict(zip(LOG_FIELDS, row.values, strict=True))


@pytest.mark.parametrize(("name", "line", "subject", "time", "method", "path", "status"), LINES)
def test_a_line_of_a_server(name, line, subject, time, method, path, status):
    """Each format finds who, when, what and the status; what it has not got is empty."""
    found = log_format(name).parse(line + "\n")
    assert found is not None
    columns = log_format(name).columns
    values = [next((found[each] for each in columns.get(field, ()) if each in found), "") for field in LOG_FIELDS[:5]]
    assert [subject, time, method, path, status] == values
    assert name == detect_log_format([line]).name


def test_every_format_has_a_line():
    """The table above leaves no format out, and each synonym is one."""
    assert {each.name for each in LOG_FORMATS} == {name for name, *_ in LINES}
    assert {"combined"} == {log_format(name).name for name in SYNONYMS}
    assert "envoy" == choose_log_format("envoy", ()).name


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["what is this\n"], "line 1: it has no known format of an access log: pass --format"),
        (["\n", LINES[0][1], "{"], "line 3: it has no known format"),
        (
            [LINES[0][1], LINES[6][1]],
            "line 2: it has the format envoy, and line 1 the format combined: import each log",
        ),
        (["\n", "  \n"], "the file is empty, so it has no format"),
        ([], "the file is empty"),
    ],
)
def test_what_has_no_format_of_its_own(lines, message):
    """An unknown or a mixed log is refused with the line."""
    with pytest.raises(ConfigurationError, match=message):
        choose_log_format("auto", lines)


@pytest.mark.parametrize(
    ("name", "line", "columns", "message"),
    [
        ("envoy", LINES[6][1], {}, "the format envoy has no subject: log who called, and name that field with --map"),
        ("alb", LINES[7][1], {}, "the format alb has no subject: import the log of the service behind it instead"),
        ("uvicorn", LINES[8][1], {"subject": "extra1"}, "the log has no time: put %.asctime.s first in the format"),
        (
            "combined",
            LINES[0][1],
            {"subject": "user_agnt"},
            "line 1: there is no field 'user_agnt'; did you mean 'user_agent'",
        ),
        (
            "combined",
            LINES[0][1],
            {"subject": "q"},
            "line 1: there is no field 'q'; there are host, method, path, referer",
        ),
        (
            "nginx-json",
            '{"request":"GET / HTTP/1.1","status":1}',
            {},
            "the log has no subject: name its field with --map subject=",
        ),
    ],
)
def test_a_log_that_lacks_a_field(name, line, columns, message):
    """Where a format has no subject or no time, the error says what to do."""
    with pytest.raises(ConfigurationError, match=message):
        read_log([line], log_format(name), columns)


def test_a_subject_from_a_field_of_its_own():
    """A header that the server logs after the usual fields has a place, or a name before an equals sign."""
    line = LINES[0][1]
    assert "bob" == _row("combined", f'{line} "bob"', {"subject": "extra1"})["subject"]
    assert "bob" == _row("combined", f'{line} rt=0.1 who="bob"', {"subject": "who"})["subject"]
    assert "bob" == _row("uvicorn", f"{LINES[9][1]} user=bob", {"subject": "user"})["subject"]
    assert "" == _row("traefik-json", LINES[10][1], {"client": "RequestHost"})["issuer"]
    assert "a" == _row("traefik-json", LINES[10][1], {"client": "RequestHost"})["client"]


def test_a_line_of_another_format_is_a_fault_of_that_line():
    """The lines around it are read."""
    rows = list(read_log([LINES[0][1], "{}", "\n", LINES[1][1]], log_format("combined"), {}))
    assert [1, 2, 4] == [row.line for row in rows]
    assert Row(2, (), "it is not a line of the format combined") == rows[1]
    assert [Row(1, (), "it is not a line of the format alb")] == list(
        read_log(["x"], log_format("alb"), {"subject": "x"})
    )


FORGED_USERS = (
    'bob [01/May/2026:10:00:00 +0000] "GET /admin HTTP/1.1" 200 5 "-" "-"',
    'bob [01/May/2026:10:00:00 +0000] "GET /admin HTTP/1.1" 200 5 "-" "-" 7 "a" "b" 2ms',
    "bob [x]",
    'bob"',
)


@pytest.mark.parametrize("name", FORGED_USERS)
@pytest.mark.parametrize("form", ["combined", "traefik"])
def test_a_user_name_that_looks_like_the_rest_of_a_line(form, name):
    """A name that a server did not escape makes the line a fault; it is never read as another line."""
    line = f'10.0.0.7 - {name} [02/May/2026:10:00:00 +0000] "GET / HTTP/1.1" 401 12 "-" "-" 7 "a" "b" 2ms'
    assert log_format(form).parse(line) is None


def test_a_user_name_that_is_spelled_with_escapes_in_traefik():
    """Traefik escapes nothing, so a name with a backslash is that name."""
    line = r'10.0.0.7 - \x22bob [02/May/2026:10:00:00 +0000] "GET / HTTP/1.1" 401 12 "-" "-" 7 "a" "b" 2ms'
    assert r"\x22bob" == _row("traefik", line)["subject"]


FORGED_AGENTS = ('x" user="bob', 'x" "y', 'x" user=bob "y', 'x"', 'x" y', 'a" "b" "c', '" user=bob "', "x\\\\")


@pytest.mark.parametrize("agent", FORGED_AGENTS)
@pytest.mark.parametrize("tail", ['user="mallory"', '"mallory"', '"mallory" rt=1'])
@pytest.mark.parametrize("form", ["envoy", "combined"])
def test_a_header_that_makes_fields_of_its_own(form, tail, agent):
    """Where a text is not escaped, a line with other fields than the first is a fault: nobody becomes somebody else."""
    head = {
        "combined": '10.0.0.7 - - [02/May/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 12 "-"',
        "envoy": '[2026-05-02T10:00:00Z] "GET / HTTP/2" 200 - 1 0 2 1 "-"',
    }[form]
    more = '"id" "host" "tcp://10.0.2.1:80" ' if form == "envoy" else ""
    lines = [f'{head} "curl" {more}{tail}', f'{head} "{agent}" {more}{tail}']
    rows = list(read_log(lines, log_format(form), {"subject": "user" if "user" in tail else "extra1"}))
    assert "mallory" == rows[0].values[0]
    assert rows[1].fault or "mallory" == rows[1].values[0]


def test_a_json_log_in_which_a_client_wrote_a_member():
    """A log that escapes nothing has a member twice: the line is a fault."""
    line = '{"remote_user":"a","agent":"x","remote_user":"bob","request":"GET / HTTP/1.1","status":200,"time":"2026-01-01"}'
    assert "it is not a line of the format nginx-json" == _row("nginx-json", line).fault
    assert [None] * 3 == [log_format("nginx-json").parse(text) for text in ("[1]", "{", '{"a":' * 100_000)]


@given(st.text(max_size=80) | st.text('ab" \\[]{}:=-/0', max_size=80).map(lambda text: f"{LINES[0][1]} {text}"))
def test_any_line_is_read_or_refused(line):
    """No line is an error of the parser."""
    assert {form.name for form in fitting_formats(line)} <= {form.name for form in LOG_FORMATS}


@pytest.mark.parametrize("form", [each.name for each in LOG_FORMATS])
@pytest.mark.parametrize(
    "text", ["a " * 40_000, '" ' * 40_000, '"' + "\\" * 80_000, "1.1.1.1 - " + "a " * 40_000, " -" * 40_000]
)
def test_a_long_line_is_refused_in_linear_time(form, text):
    """No line makes the parser go back and forth: a quadratic one would take minutes here."""
    assert log_format(form).parse(text) is None
    assert log_format(form).parse(LINES[0][1] + text) is None or form == "combined"
