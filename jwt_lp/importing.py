"""What was used, as a file tells it?

Rows become uses, sightings of grants and enforcement points, in batches whose ids are those of the file, so that a
file counts once, however often it is imported. A row that says nothing of the kind is counted with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, get_args

from jwt_lp._tables import nearest, show
from jwt_lp.errors import ConfigurationError
from jwt_lp.permissions import fits, is_pattern, is_scope_token
from jwt_lp.stores import Batch, Outcome, Point, Run, Sighting, Use

if TYPE_CHECKING:
    from jwt_lp.located import Map
    from jwt_lp.tabular import Row

CHUNK: Final = 5_000
"""Rows of one batch: who else writes to the store waits for no more than that."""

FIELDS: Final = (
    "subject", "permission", "day", "issuer", "service", "client", "role", "endpoint", "method", "count", "outcome",
    "grant",
)  # fmt: skip
LOGGED: Final = ("subject", "day", "method", "path", "status", "issuer", "service", "client")
NEEDED: Final = ("subject", "permission", "day")
NEEDED_LOGGED: Final = ("subject", "day", "method", "path", "status")

_DAY: Final = 86400.0
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


@dataclass(slots=True)
class Tally:
    """What a file held: rows, uses by outcome, and rows that counted for nothing, by reason with the first line."""

    rows: int = 0
    outcomes: dict[str, int] = field(default_factory=dict[str, int])
    reasons: dict[str, tuple[int, int, bool]] = field(default_factory=dict[str, "tuple[int, int, bool]"])
    several: int = 0
    first: str = ""
    last: str = ""
    batches: int = 0
    added: int = 0

    @property
    def bad(self) -> int:
        """How many rows are at fault."""
        return sum(number for number, _, bad in self.reasons.values() if bad)

    def skip(self, line: int, reason: str, *, bad: bool) -> None:
        """Count a row that says nothing."""
        number, first, _ = self.reasons.get(reason, (0, line, bad))
        self.reasons[reason] = number + 1, first, bad

    def note(self, found: Found) -> None:
        """Count what a row says."""
        self.several += found.several
        for use in found.uses:
            self.outcomes[use.outcome] = self.outcomes.get(use.outcome, 0) + found.times
        day = found.uses[0].day
        self.first = min(self.first or day, day)
        self.last = max(self.last, day)


def mapping(said: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """`--map subject=user,time=ts` as the file's name of each field; `ConfigurationError` lists every fault."""
    known = list(known)
    found: dict[str, str] = {}
    faults: list[str] = []
    for pair in said:
        name, equals, column = (part.strip() for part in pair.partition("="))
        name = "day" if name == "time" else name
        if not equals or not column:
            faults.append(f"--map {show(pair)}: write field=column, such as subject=user")
        elif name not in known:
            faults.append(
                f"--map {show(name)}: no such field{nearest(name, known) or '; there are ' + ', '.join(known)}"
            )
        elif name in found:
            faults.append(f"--map: {name} is said twice")
        else:
            found[name] = column
    if faults:
        raise ConfigurationError(*faults)
    return found


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
    return "its day is in the future" if moment.at > now + _DAY else ""


def _what(permission: str, grant: str) -> str:
    if not is_scope_token(permission) or not fits(permission) or "*" in permission:
        return "its permission is none"
    well = not grant or (is_scope_token(grant) and fits(grant) and ("*" not in grant or is_pattern(grant)))
    return "" if well else "its grant is none"


def _granted(permission: str) -> str:
    """The grant that a file's use is credited to: the permission, but for a template, which nobody holds."""
    return "" if "{" in permission else permission


def identity(content: str, how: Mapping[str, object]) -> str:
    """What tells a file read in one way from any other: of its digest, and of all that its reading depends on."""
    said = "\n".join(f"{name}={value!r}" for name, value in sorted(how.items()))
    return sha256(f"{content}\n{said}".encode("utf-8", "surrogatepass")).hexdigest()


def batches(rows: Iterable[Row], read: Callable[[Row], Found], digest: str, tally: Tally) -> Iterator[Batch]:
    """The batches of a file; `tally` counts along.

    INVARIANT: which rows a batch has, and its id, hang on the file and its reading alone: so one that is stored already
    is one that is not counted again, whatever interrupted the import before.
    """
    runs: dict[str, Run] = {}
    left = iter(rows)
    number = 0
    while chunk := list(islice(left, CHUNK)):
        parts: dict[str, _Part] = {}
        for row in chunk:
            found = Found(reason=row.fault, bad=True) if row.fault else read(row)
            if found.reason:
                tally.skip(row.line, found.reason, bad=found.bad)
                continue
            tally.note(found)
            for use in found.uses:
                parts.setdefault(use.service, _Part()).add(use, found.times, found.at)
        tally.rows += len(chunk)
        for service, part in sorted(parts.items()):
            runs[service] = run = part.run(digest, service, runs.get(service))
            yield part.batch(f"import:{digest}:{number}{_suffix(service) if len(parts) > 1 else ''}", run)
        number += 1


def _suffix(service: str) -> str:
    return f":{sha256(service.encode()).hexdigest()[:16]}"


@dataclass(slots=True)
class _Part:
    """What a chunk has of one service."""

    uses: dict[Use, tuple[int, float]] = field(default_factory=dict[Use, "tuple[int, float]"])

    def add(self, use: Use, count: int, at: float) -> None:
        before, last = self.uses.get(use, (0, at))
        self.uses[use] = before + count, max(last, at)

    def run(self, digest: str, service: str, before: Run | None) -> Run:
        """The import so far, from its first to the end of its last day."""
        days = [use.day for use in self.uses]
        started = _midnight(min(days))
        until = _midnight(max(days)) + _DAY - 1
        recorded = sum(count for count, _ in self.uses.values())
        if before is not None:
            started, until = min(started, before.started), max(until, before.until)
            recorded += before.recorded
        return Run(
            id=f"import:{digest}{_suffix(service)}",
            service=service,
            started=started,
            until=until,
            recorded=recorded,
            source="import",
        )

    def batch(self, name: str, run: Run) -> Batch:
        """All of it; each grant that served is one that was seen."""
        sightings = {
            Sighting(use.issuer, use.subject, use.client, use.role, use.grant, use.day)
            for use in self.uses
            if use.outcome == "granted" and use.grant
        }
        points = {Point(use.service, use.endpoint, use.method, use.requirement, use.day) for use in self.uses}
        return Batch(id=name, uses=self.uses, sightings=tuple(sightings), points=tuple(points), run=run)


def _midnight(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
