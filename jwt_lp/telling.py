"""What does one row say was used?"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, get_args

from jwt_lp.permissions import fits, is_pattern, is_scope_token
from jwt_lp.stores import Outcome, Use

if TYPE_CHECKING:
    from jwt_lp.located import Map
    from jwt_lp.tabular import Row

FIELDS: Final = (
    "subject", "permission", "day", "issuer", "service", "client", "role", "endpoint", "method", "count", "outcome",
    "grant",
)  # fmt: skip
LOGGED: Final = ("subject", "day", "method", "path", "status", "issuer", "service", "client")
NEEDED: Final = ("subject", "permission", "day")
NEEDED_LOGGED: Final = ("subject", "day", "method", "path", "status")

DAY: Final = 86400.0
"""Seconds."""
_EPOCH: Final = re.compile(r"[0-9]{9,11}(?:\.[0-9]{1,9})?")
_COUNT: Final = re.compile(r"[0-9]{1,12}")
_STATUS: Final = re.compile(r"[1-5][0-9][0-9]")
_OUTCOMES: Final[frozenset[str]] = frozenset(get_args(Outcome))
_NOBODY: Final = ("", "-")

Naming: TypeAlias = Callable[[str, str], str]
"""How a subject stands in the store, of its issuer and its name."""


class Moment(NamedTuple):
    """A day in UTC, and seconds since the epoch."""

    day: str
    at: float


class Found(NamedTuple):
    """What one row says: uses, how often, and when; or the reason why it says nothing.

    `bad` is True where the row is at fault, and False where there is nothing to count in it. `several` says that its
    route asks for any of several permissions, of which nobody knows the one that served.
    """

    uses: tuple[Use, ...] = ()
    times: int = 0
    at: float = 0.0
    reason: str = ""
    bad: bool = False
    several: bool = False


@lru_cache(maxsize=65536)
def moment_of(said: str) -> Moment | None:
    """An ISO day, an ISO time (UTC where it has no offset) or seconds since the epoch; None for none of them."""
    try:
        if _EPOCH.fullmatch(said):
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
class Uses:
    """Reads rows with `FIELDS`, each a use. What a row does not say is `issuer` and `service`; `now` is the time."""

    issuer: str
    service: str
    name: Naming
    now: float

    def read(self, row: Row) -> Found:
        """What the row says."""
        subject, permission, day, issuer, service, client, role, endpoint, method, count, outcome, grant = row.values
        if not "".join(row.values).isprintable():
            return Found(reason=_UNPRINTABLE, bad=True)
        moment = moment_of(day)
        fault = _when(moment, self.now) or _what(permission, grant)
        if fault or moment is None:
            return Found(reason=fault, bad=True)
        if subject in _NOBODY:
            return Found(reason=_NO_SUBJECT, bad=True)
        if outcome and outcome not in _OUTCOMES:
            return Found(reason=f"its outcome is none of {', '.join(sorted(_OUTCOMES))}", bad=True)
        if count and (not _COUNT.fullmatch(count) or not int(count)):
            return Found(reason="its count is no whole number from 1 on", bad=True)
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
            (grant or _granted(permission)) if granted else "",
            outcome or "granted",  # type: ignore[arg-type]
            moment.day,
        )
        return Found((use,), int(count or 1), moment.at)


@dataclass(frozen=True, slots=True)
class Logged:
    """Reads rows with `LOGGED`, each a request, by the routes that there are."""

    routes: Map
    issuer: str
    service: str
    name: Naming
    now: float

    def read(self, row: Row) -> Found:
        """What the row says: 2xx and 3xx passed, 401 and 403 were refused, others say nothing of permissions."""
        subject, day, method, path, status, issuer, service, client = row.values
        if not "".join(row.values).isprintable():
            return Found(reason=_UNPRINTABLE, bad=True)
        moment = moment_of(day)
        fault = _when(moment, self.now) or ("" if _STATUS.fullmatch(status) else "its status is none")
        if fault or moment is None:
            return Found(reason=fault, bad=True)
        outcome: Outcome
        if status[0] in "23":
            outcome = "granted"
        elif status in {"401", "403"}:
            outcome = "denied"
        else:
            return Found(reason="its status says nothing of permissions: neither 2xx, 3xx, 401 nor 403")
        if subject in _NOBODY:
            return Found(reason=_NO_SUBJECT)
        route = self.routes.find(method, path)
        if route is None:
            return Found(reason="no route has its method and path")
        if not route.permissions:
            return Found(reason=f"its route asks for no permission: {route.kind}")
        issuer = issuer or self.issuer
        who = service or self.service, issuer, self.name(issuer, subject), client, ""
        where = route.endpoint, method.upper(), route.requirement
        return Found(
            tuple(
                Use(*who, *where, each, _granted(each) if outcome == "granted" else "", outcome, moment.day)
                for each in route.permissions
            ),
            1,
            moment.at,
            several=outcome == "granted" and " | " in route.requirement,
        )


_UNPRINTABLE: Final = "it has a character that is not printable, or no UTF-8"
_NO_SUBJECT: Final = "it has no subject"


def _when(moment: Moment | None, now: float) -> str:
    if moment is None:
        return "its day is no ISO date, ISO time or number of seconds since the epoch"
    return "its day is in the future" if moment.at > now + DAY else ""


def _what(permission: str, grant: str) -> str:
    if not is_scope_token(permission) or not fits(permission) or "*" in permission:
        return "its permission is none"
    well = not grant or (is_scope_token(grant) and fits(grant) and ("*" not in grant or is_pattern(grant)))
    return "" if well else "its grant is none"


def _granted(permission: str) -> str:
    """The grant that a file's use is credited to: the permission, but for a template, which nobody holds."""
    return "" if "{" in permission else permission
