"""What does one row say was used?"""

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
"""Seconds."""
_EPOCH_SECONDS: Final = re.compile(r"[0-9]{9,11}(?:\.[0-9]{1,9})?")
_COUNT: Final = re.compile(r"[0-9]{1,12}")
_STATUS: Final = re.compile(r"[1-5][0-9][0-9]")
_OUTCOMES: Final[frozenset[str]] = frozenset(get_args(UsageOutcome))
_NO_SUBJECT_TEXTS: Final = ("", "-")

SubjectNaming: TypeAlias = Callable[[str, str], str]
"""How a subject stands in the store, of its issuer and its name."""


class Moment(NamedTuple):
    """A day in UTC, and seconds since the epoch."""

    day: str
    at: float


class RowResult(NamedTuple):
    """What one row says: uses, how often, and when; or the reason why it says nothing.

    `bad` is True where the row is at fault, and False where there is nothing to count in it. `several` says that its
    route asks for any of several permissions, of which nobody knows the one that served.
    """

    uses: tuple[Use, ...] = ()
    times: int = 0
    at: float = 0.0
    reason: str = ""
    is_fault: bool = False
    is_alternative: bool = False


@lru_cache(maxsize=65536)
def parse_moment(said: str) -> Moment | None:
    """An ISO day, an ISO time (UTC where it has no offset) or seconds since the epoch; None for none of them."""
    try:
        if _EPOCH_SECONDS.fullmatch(said):
            at = float(said)
            day = datetime.fromtimestamp(at, UTC).date()
        elif len(said) == len("2026-01-31"):
            day = date.fromisoformat(said)
            at = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        else:
            time = datetime.fromisoformat(said)
            time = (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).astimezone(UTC)
            at, day = time.timestamp(), time.date()
    except (ValueError, OverflowError):
        return None
    return Moment(day.isoformat(), at) if at >= 0 else None


@dataclass(frozen=True, slots=True)
class UsageRowReader:
    """Reads rows with `FIELDS`, each a use. What a row does not say is `issuer` and `service`; `now` is the time."""

    issuer: str
    service: str
    name: SubjectNaming
    now: float

    def read(self, row: Row) -> RowResult:
        """What the row says."""
        subject, permission, day, issuer, service, client, role, endpoint, method, count, outcome, grant = row.values
        if not "".join(row.values).isprintable():
            return RowResult(reason=_UNPRINTABLE, is_fault=True)
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
    """Reads rows with `LOGGED`, each a request, by the routes that there are."""

    routes: RouteMatcher
    issuer: str
    service: str
    name: SubjectNaming
    now: float

    def read(self, row: Row) -> RowResult:
        """What the row says: 2xx and 3xx passed, 401 and 403 were refused, others say nothing of permissions."""
        subject, day, method, path, status, issuer, service, client = row.values
        if not "".join(row.values).isprintable():
            return RowResult(reason=_UNPRINTABLE, is_fault=True)
        moment = parse_moment(day)
        fault = _moment_fault(moment, self.now) or (
            "" if _STATUS.fullmatch(status) else "its status is not an HTTP status"
        )
        if fault or moment is None:
            return RowResult(reason=fault, is_fault=True)
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
            return RowResult(reason=f"its route asks for no permission: {route.kind}")
        issuer = issuer or self.issuer
        who = service or self.service, issuer, self.name(issuer, subject), client, ""
        where = route.endpoint, method.upper(), route.requirement
        return RowResult(
            tuple(
                Use(*who, *where, each, _credited_grant(each) if outcome == "granted" else "", outcome, moment.day)
                for each in route.permissions
            ),
            1,
            moment.at,
            is_alternative=outcome == "granted" and " | " in route.requirement,
        )


_UNPRINTABLE: Final = "it has a character that is not printable, or is not UTF-8"
_NO_SUBJECT: Final = "it has no subject"


def _moment_fault(moment: Moment | None, now: float) -> str:
    if moment is None:
        return "its day is not an ISO date, ISO time or number of seconds since the epoch"
    return "its day is in the future" if moment.at > now + DAY_SECONDS else ""


def _permission_fault(permission: str, grant: str) -> str:
    if not is_scope_token(permission) or not within_limits(permission) or "*" in permission:
        return "its permission is not a permission"
    well = not grant or (is_scope_token(grant) and within_limits(grant) and ("*" not in grant or is_pattern(grant)))
    return "" if well else "its grant is neither a permission nor a pattern"


def _credited_grant(permission: str) -> str:
    """The grant that a file's use is credited to: the permission, but for a template, which nobody holds."""
    return "" if "{" in permission else permission
