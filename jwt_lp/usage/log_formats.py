"""Formats of access logs: those of nginx, Apache, gunicorn, Traefik, Envoy, AWS load balancers and uvicorn.

A format turns a line into named values. It never guesses: a line that a client could have shaped to look like another
one is not a line of the format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from jwt_lp._support.json_types import is_json_object, unique_members

Values: TypeAlias = Mapping[str, str]


class LogFormat(NamedTuple):
    """A format: its name, who writes it, its parser (None for another line), and the names of each field's value.

    The first name that a line has counts. `lacks` says what to do where the format itself has no value of a field. The
    lines of a `regular` format all have the same names.
    """

    name: str
    writers: str
    parse: Callable[[str], Values | None]
    columns: Mapping[str, tuple[str, ...]]
    lacks: Mapping[str, str] = MappingProxyType({})
    regular: bool = True


_TIME: Final = r"\[(?P<time>\d\d/[A-Za-z]{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]"
# A name may have blanks, but neither a quote nor a bracket: nobody's name may look like the rest of a line.
_USER: Final = r"(?P<remote_user>[^\s\"\[]+(?: [^\s\"\[]+)*)"
_QUOTED: Final = r'(?:[^"\\]|\\.)*+'
# A target without blanks is read whatever else is in it. What else a client sent as its request line is read as one text.
_REQUEST: Final = rf'"(?:(?P<method>\S+) (?P<path>\S+) HTTP/[\d.]+|(?P<request>{_QUOTED}))"'
_CLF: Final = re.compile(rf"(?P<host>\S*) \S+ {_USER} {_TIME} {_REQUEST} (?P<status>\d{{3}}|-) (?:\d+|-)(?P<rest>.*)")
_ENVOY: Final = re.compile(
    r'\[(?P<time>[\d-]+T[\d:.]+Z)\] "(?P<method>\S+) (?P<path>\S+) \S+" (?P<status>\d{1,3}|-) \S+(?P<rest> .*)'
)
_ALB: Final = re.compile(
    r"(?:https?|h2|grpcs|wss?) (?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z) \S+ \S+ \S+ \S+ \S+ \S+ (?P<status>\d{3}|-) \S+ \S+ \S+"
    r' "(?P<method>\S+) (?P<path>\S+) [^" ]+"(?P<rest>.*)'
)
_UVICORN: Final = re.compile(
    r"(?:(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)\s+)?(?:[\w.:\[\]-]+\s+){0,4}?"
    r'\S* - "(?P<method>\S+) (?P<path>\S+) HTTP/[\d.]+" (?P<status>\d{3})(?P<rest>.*)'
)
# A second time in a line, outside of quotes, was written by whoever chose the name before it.
_BARE: Final = r"(?!\[\d\d/)[^\s\"]+"
_TOKEN: Final = re.compile(rf'\s+(?:([A-Za-z_][\w.-]*)=)?(?:"({_QUOTED})"|({_BARE}))')
_RAW_TOKEN: Final = re.compile(rf'\s+(?:([A-Za-z_][\w.-]*)=)?(?:"([^"]*)"|({_BARE}))')
# What nginx and Apache escape, and nothing else: a name that a client spelled with other escapes stays as it is.
_ESCAPE: Final = re.compile(rb'\\(?:x([01][0-9A-Fa-f]|22|5[Cc]|7[Ff]|[89A-Fa-f][0-9A-Fa-f])|(["\\abfnrtv]))')
_LETTERS: Final = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_LATER_TIME: Final = re.compile(r"\[\d\d/")
_MILLISECONDS: Final = re.compile(r"\d+ms")

_REMOTE_USER: Final = ("remote_user",)
_TEXT_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "day": ("time",), "method": ("method",), "path": ("path",), "status": ("status",),
}  # fmt: skip
_NO_SUBJECT: Final = "log who called, and name that field with --map subject=FIELD"


def _unescape(text: str) -> str:
    r"""A text as it was before nginx (`\x22`) or Apache (`\"`) escaped it. Bytes that are not UTF-8 become surrogates."""
    if "\\" not in text:
        return text
    data = text.encode("utf-8", "surrogateescape")
    return _ESCAPE.sub(_unescaped, data).decode("utf-8", "surrogateescape")


def _unescaped(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[1].decode()) if found[1] else _LETTERS.get(found[2], found[2])


def _tail(rest: str, names: Sequence[str], token: re.Pattern[str] = _TOKEN) -> dict[str, str] | None:
    """The values after those that every line has: `names` for the first, then extra1, extra2, … or their own name.

    None for anything else, and for a name that comes twice.
    """
    values: dict[str, str] = {}
    at = place = 0
    while at < len(rest) and (found := token.match(rest, at)) is not None:
        at, name = found.end(), found[1]
        if name is None:
            name = names[place] if place < len(names) else f"extra{place - len(names) + 1}"
            place += 1
        if name in values:
            return None
        values[name] = _unescape(found[2]) if found[2] is not None and token is _TOKEN else found[2] or found[3] or ""
    return values if not rest[at:].strip() else None


def _split_request(request: str) -> tuple[str, str]:
    """Method and target of a request line; two empty texts for anything else."""
    method, _, rest = request.partition(" ")
    target, blank, version = rest.rpartition(" ")
    return (method, target) if blank and version.startswith("HTTP/") else ("", "")


def _parse_common(line: str) -> Values | None:
    return _common_values(line, _unescape)


def _parse_traefik(line: str) -> Values | None:
    # Traefik escapes no name, and writes a name before it knows whether the password is right. So a line has exactly the
    # fields that Traefik writes: a name with quotes of its own makes more.
    values = _common_values(line, str)
    if values is None or len(values) != _COMMON_NAMES + len(_TRAEFIK_TAIL):
        return None
    return values if _MILLISECONDS.fullmatch(values.get("extra4", "")) else None


def _common_values(line: str, read_user: Callable[[str], str]) -> dict[str, str] | None:
    found = _CLF.fullmatch(line.rstrip("\r\n"))
    if found is None:
        return None
    rest: dict[str, str] | None = _tail(found["rest"], ("referer", "user_agent"))
    if '\\\\"' in found["rest"]:
        # This quote ends a text of Apache, but not one of gunicorn: nothing is read from such an end.
        rest = None if _LATER_TIME.search(found["rest"]) else {}
    method, path = (found["method"], found["path"]) if found["method"] else _split_request(found["request"])
    named = {name: found[name] for name in ("host", "time", "status")}
    named |= {"remote_user": read_user(found["remote_user"]), "method": method, "path": _unescape(path)}
    return None if rest is None or not named.keys().isdisjoint(rest) else {**rest, **named}


def _parse_envoy(line: str) -> Values | None:
    found = _ENVOY.fullmatch(line.rstrip("\r\n"))
    rest = None if found is None else _tail(found["rest"], _ENVOY_TAIL, _RAW_TOKEN)
    return None if found is None or rest is None else _joined(found, rest)


def _parse_alb(line: str) -> Values | None:
    found = _ALB.fullmatch(line.rstrip("\r\n"))
    rest = None if found is None else _tail(found["rest"], _ALB_TAIL)
    return None if found is None or rest is None else _joined(found, rest)


def _parse_uvicorn(line: str) -> Values | None:
    found = _UVICORN.fullmatch(line.rstrip("\r\n"))
    rest = None if found is None else _tail(found["rest"], ())
    return None if found is None or rest is None else _joined(found, rest)


def _joined(found: re.Match[str], rest: dict[str, str]) -> Values | None:
    """The values of a line; None if a later field has the name of one of its own."""
    named = {name: value for name, value in found.groupdict().items() if value is not None and name != "rest"}
    return {**rest, **named} if named.keys().isdisjoint(rest) else None


_COMMON_NAMES: Final = 6
_TRAEFIK_TAIL: Final = ("referer", "user_agent", "extra1", "extra2", "extra3", "extra4")
_ENVOY_TAIL: Final = (
    "bytes_received", "bytes_sent", "duration", "upstream_service_time", "x_forwarded_for", "user_agent", "request_id",
    "authority", "upstream_host",
)  # fmt: skip
_ALB_TAIL: Final = (
    "user_agent", "ssl_cipher", "ssl_protocol", "target_group_arn", "trace_id", "domain_name", "chosen_cert_arn",
    "matched_rule_priority", "request_creation_time", "actions_executed", "redirect_url", "error_reason",
    "target_port_list", "target_status_code_list", "classification", "classification_reason", "conn_trace_id",
)  # fmt: skip


def _json_object(line: str) -> dict[str, str] | None:
    """The texts and numbers of a JSON object; None for anything else, and for a member that comes twice."""
    try:
        # A log that escapes nothing lets a client write a second member.
        members: Any = json.loads(line, object_pairs_hook=unique_members) if line.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return None
    if not is_json_object(members):
        return None
    kinds = (str, int, float)
    return {name: str(value) for name, value in members.items() if type(value) in kinds}


def _parse_traefik_json(line: str) -> Values | None:
    values = _json_object(line)
    return values if values is not None and {"DownstreamStatus", "RequestMethod"} <= values.keys() else None


def _parse_nginx_json(line: str) -> Values | None:
    values = _json_object(line)
    if values is None or "status" not in values or not {"request", "request_uri", "uri"} & values.keys():
        return None
    if "request" in values:
        method, path = _split_request(values["request"])
        values.setdefault("request_method", method)
        values.setdefault("request_uri", path)
    return values


LOG_FORMATS: Final = (
    LogFormat("traefik", "Traefik", _parse_traefik, {**_TEXT_COLUMNS, "subject": _REMOTE_USER}),
    LogFormat("combined", "nginx, Apache and gunicorn", _parse_common, {**_TEXT_COLUMNS, "subject": _REMOTE_USER}),
    LogFormat("envoy", "Envoy", _parse_envoy, _TEXT_COLUMNS, {"subject": _NO_SUBJECT}),
    LogFormat(
        "alb", "AWS Application Load Balancers", _parse_alb, _TEXT_COLUMNS,
        {"subject": "import the log of the service behind it instead"},
    ),
    LogFormat(
        "uvicorn", "uvicorn", _parse_uvicorn, _TEXT_COLUMNS,
        {"subject": _NO_SUBJECT, "day": "put %(asctime)s first in the format of uvicorn's access log"}, regular=False,
    ),
    LogFormat(
        "traefik-json", "Traefik", _parse_traefik_json,
        {
            "subject": ("ClientUsername",), "day": ("StartUTC", "time"), "method": ("RequestMethod",),
            "path": ("RequestPath",), "status": ("DownstreamStatus",),
        },
        regular=False,
    ),
    LogFormat(
        "nginx-json", "nginx", _parse_nginx_json,
        {
            "subject": ("remote_user",), "day": ("time_iso8601", "msec", "time_local", "time", "timestamp"),
            "method": ("request_method", "method"), "path": ("request_uri", "uri"), "status": ("status",),
        },
        regular=False,
    ),
)  # fmt: skip
"""Every format, in the order in which they are tried."""

SYNONYMS: Final[Mapping[str, str]] = MappingProxyType(dict.fromkeys(("nginx", "apache", "gunicorn"), "combined"))
"""Other names of formats, by the server that writes them."""


def log_format(name: str) -> LogFormat:
    """The format of that name or synonym."""
    wanted = SYNONYMS.get(name, name)
    return next(each for each in LOG_FORMATS if each.name == wanted)


def fitting_formats(line: str) -> Iterator[LogFormat]:
    """The formats that have such a line."""
    return (each for each in LOG_FORMATS if each.parse(line) is not None)
