"""Readers of usage from rows of usage and from access logs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, get_args

from jwt_lp.permissions.grants import is_pattern, is_scope_token, within_limits
from jwt_lp.stores import UsageOutcome, Use

if TYPE_CHECKING:
    from jwt_lp.usage.route_matcher import RouteMatcher
    from jwt_lp.usage.row_reader import Row

USAGE_FIELDS: Final = (
    "subject", "permission", "day", "issuer", "service", "client", "role", "endpoint", "method", "count", "outcome",
    "grant",
)  # fmt: skip
LOG_FIELDS: Final = ("subject", "day", "method", "path", "status", "issuer", "service", "client")
REQUIRED_USAGE_FIELDS: Final = ("subject", "permission", "day")
REQUIRED_LOG_FIELDS: Final = ("subject", "day", "method", "path", "status")

DAY_SECONDS: Final = 86400.0
# The time of an access log in the common format, such as 31/Jan/2026:12:00:00 +0100. Its months are English everywhere.
_LOG_TIME: Final = re.compile(r"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d:\d\d:\d\d) ([+-]\d\d)(\d\d)")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH_SECONDS: Final = re.compile(r"[0-9]{9,11}(?:\.[0-9]{1,9})?")
_COUNT: Final = re.compile(r"[0-9]{1,12}")
_STATUS: Final = re.compile(r"[1-5][0-9][0-9]|0|000")
_OUTCOMES: Final[frozenset[str]] = frozenset(get_args(UsageOutcome))
_NO_SUBJECT_TEXTS: Final = ("", "-")

SubjectNaming: TypeAlias = Callable[[str, str], str]
"""The name of a subject in the store, from its issuer and subject."""


class Moment(NamedTuple):
    """A day in UTC, and seconds since the epoch."""

    day: str
    at: float


class RowResult(NamedTuple):
    """The uses of one row, how often they were made, and when; or the reason why the row has none.

    `is_fault` is True if the row is faulty, and False if it merely has nothing to count. `is_alternative` is True if
    its route requires any of several permissions, because a log does not say which one served.
    """

    uses: tuple[Use, ...] = ()
    times: int = 0
    at: float = 0.0
    reason: str = ""
    is_fault: bool = False
    is_alternative: bool = False


@lru_cache(maxsize=65536)
def parse_moment(text: str) -> Moment | None:
    """Parse an ISO day or time (UTC without an offset), a time of an access log, or seconds since the epoch; else None."""
    try:
        if _EPOCH_SECONDS.fullmatch(text):
            at = float(text)
            day = datetime.fromtimestamp(at, UTC).date()
        elif len(text) == len("2026-01-31"):
            day = date.fromisoformat(text)
            at = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        else:
            time = datetime.fromisoformat(_iso_time(text))
            time = (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).astimezone(UTC)
            at, day = time.timestamp(), time.date()
    except (ValueError, OverflowError):
        return None
    return Moment(day.isoformat(), at) if at >= 0 else None


def _iso_time(text: str) -> str:
    """The time of an access log as an ISO time; any other text unchanged."""
    found = _LOG_TIME.fullmatch(text)
    if found is None or found[2] not in _MONTHS:
        return text
    day, month, year, clock, hours, minutes = found.groups()
    return f"{year}-{_MONTHS.index(month) + 1:02}-{day}T{clock}{hours}:{minutes}"


@dataclass(frozen=True, slots=True)
class UsageRowReader:
    """Reads rows of `USAGE_FIELDS`, each a use. `issuer` and `service` are defaults; `now` is the time."""

    issuer: str
    service: str
    name: SubjectNaming
    now: float

    def read(self, row: Row) -> RowResult:
        """The use of the row, or why it has none."""
        subject, permission, day, issuer, service, client, role, endpoint, method, count, outcome, grant = row.values
        if not "".join(row.values).isprintable():
            return RowResult(reason=UNPRINTABLE, is_fault=True)
        moment = parse_moment(day)
        fault = _moment_fault(moment, self.now) or _permission_fault(permission, grant)
        if fault or moment is None:
            return RowResult(reason=fault, is_fault=True)
        if subject in _NO_SUBJECT_TEXTS:
            return RowResult(reason=_NO_SUBJECT, is_fault=True)
        if outcome and outcome not in _OUTCOMES:
            return RowResult(reason=f"its outcome is not one of {', '.join(sorted(_OUTCOMES))}", is_fault=True)
        if count and (not _COUNT.fullmatch(count) or not int(count)):
            return RowResult(reason="its count is not a whole number from 1 on", is_fault=True)
        issuer = issuer or self.issuer
        granted = outcome in ("", "granted")
        use = Use(
            service or self.service,
            issuer,
            self.name(issuer, subject),
            client,
            role if granted else "",
            endpoint,
            method,
            permission,
            permission,
            (grant or _credited_grant(permission)) if granted else "",
            outcome or "granted",  # type: ignore[arg-type]
            moment.day,
        )
        return RowResult((use,), int(count or 1), moment.at)


@dataclass(frozen=True, slots=True)
class AccessLogReader:
    """Reads rows of `LOG_FIELDS`, each a request, with the routes of the application."""

    routes: RouteMatcher
    issuer: str
    service: str
    name: SubjectNaming
    now: float

    def read(self, row: Row) -> RowResult:
        """The uses of the request: granted for 2xx and 3xx, denied for 401 and 403, none for any other status."""
        subject, day, method, path, status, issuer, service, client = row.values
        # nginx writes 000, Envoy 0, and Apache - where a client left before the response.
        status = "0" if status == "-" else status
        if not "".join(row.values).isprintable():
            return RowResult(reason=UNPRINTABLE, is_fault=True)
        moment = parse_moment(day)
        fault = _moment_fault(moment, self.now) or (
            "" if _STATUS.fullmatch(status) else "its status is not an HTTP status"
        )
        if fault or moment is None:
            return RowResult(reason=fault, is_fault=True)
        if int(status) == 0:
            return RowResult(reason="its request got no response")
        outcome: UsageOutcome
        if status[0] in "23":
            outcome = "granted"
        elif status in {"401", "403"}:
            outcome = "denied"
        else:
            return RowResult(reason="its status says nothing about permissions: it is not 2xx, 3xx, 401 or 403")
        if subject in _NO_SUBJECT_TEXTS:
            return RowResult(reason=_NO_SUBJECT)
        route = self.routes.find(method, path)
        if route is None:
            return RowResult(reason="no route has its method and path")
        if not route.permissions:
            return RowResult(reason=f"its route requires no permission: {route.kind}")
        issuer = issuer or self.issuer
        holder = service or self.service, issuer, self.name(issuer, subject), client, ""
        point = route.endpoint, method.upper(), route.requirement
        granted = outcome == "granted"
        return RowResult(
            tuple(
                Use(*holder, *point, permission, _credited_grant(permission) if granted else "", outcome, moment.day)
                for permission in route.permissions
            ),
            1,
            moment.at,
            is_alternative=granted and " | " in route.requirement,
        )


UNPRINTABLE: Final = "it has a character that is not printable, or is not UTF-8"
BAD_GRANT: Final = "its grant is neither a permission nor a pattern"
_NO_SUBJECT: Final = "it has no subject"


def _moment_fault(moment: Moment | None, now: float) -> str:
    if moment is None:
        return "its day is not an ISO date, ISO time or number of seconds since the epoch"
    return "its day is in the future" if moment.at > now + DAY_SECONDS else ""


def _permission_fault(permission: str, grant: str) -> str:
    if not is_scope_token(permission) or not within_limits(permission) or "*" in permission:
        return "its permission is not a permission"
    return "" if not grant or is_grant(grant) else BAD_GRANT


def is_grant(text: str) -> bool:
    """Whether a text is a permission or a pattern."""
    return is_scope_token(text) and within_limits(text) and ("*" not in text or is_pattern(text))


def _credited_grant(permission: str) -> str:
    """The grant that an imported use is credited to: the permission, or "" for a template, which is not a grant."""
    return "" if "{" in permission else permission
