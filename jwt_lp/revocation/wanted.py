"""Wanted revocations: what somebody types to revoke something, checked, and what an entry refuses in words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from jwt_lp._support.validation import did_you_mean
from jwt_lp.errors import ConfigurationError, GrammarError
from jwt_lp.permissions.grants import Permissions, check_grant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jwt_lp.revocation.entries import RevocationEntry

MAX_NAME: Final = 1024
MAX_REASON: Final = 1000
END_SYNTAX: Final = (
    "write a day such as 2027-01-31, a time such as 2027-01-31T12:00:00Z, or a span such as 90m, 12h or 7d"
)

_DURATION: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MAX_SHOWN: Final = 5


def read_end(text: str, now: float) -> float:
    """The end of a revocation in seconds since the epoch; a day means its first moment in UTC.

    `ConfigurationError` for another text, and for a time that is over.
    """
    span = _DURATION.fullmatch(text)
    if span is not None:
        end = now + int(span[1]) * _UNITS[span[2]]
    else:
        try:
            at = datetime.fromisoformat(text)
            end = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise ConfigurationError(END_SYNTAX) from None
    if end <= now:
        raise ConfigurationError(f"{_moment(end)} is over")
    return end


def is_name(name: str) -> bool:
    """Whether a subject, client, role or token may have this name."""
    return 0 < len(name) <= MAX_NAME and name.isprintable()


def pattern_faults(pattern: str, keep: Sequence[str], name: str = "keep") -> Iterator[str]:
    """The faults of a pattern to revoke, and of its exceptions, each of which it has to cover; `name` is theirs."""
    faults: list[str] = []
    for grant in (pattern, *keep):
        try:
            check_grant(grant)
        except GrammarError as error:
            faults.append(str(error))
    yield from faults
    if faults:
        return
    revoked = Permissions.of([pattern], patterns=True)
    for grant in keep:
        if revoked.find_containing(grant) is None:
            yield f"{name} {grant}: {pattern} does not cover it"
        if grant == pattern:
            yield f"{name} {grant}: nothing of {pattern} would be revoked"


def issuer_warnings(issuer: str, known: Sequence[str], show: Callable[[object], str] = str) -> Iterator[str]:
    """A warning if the store knows other issuers only, because `iss` is compared exactly."""
    names = [name for name in known if name]
    if names and issuer not in names:
        hint = did_you_mean(issuer, names) or f": it knows {join_names(names, show)}"
        yield f"the store has seen no token of {show(issuer)}{hint}"


def join_names(names: Sequence[str], show: Callable[[object], str] = str) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(map(show, names[:_MAX_SHOWN]))
    return shown if len(names) <= _MAX_SHOWN else f"{shown} and {len(names) - _MAX_SHOWN:,} more"


def describe_entry(entry: RevocationEntry, show: Callable[[object], str] = str) -> str:
    """What a revocation refuses, and until when. `show` makes a name fit to be shown."""
    holder = f"the {entry.of} {show(entry.name)} of {show(entry.issuer)}" if entry.name else show(entry.issuer)
    if entry.kind == "token":
        return f"{holder} is refused, and every token downscoped from it"
    if entry.kind == "not_before":
        if entry.before is None:
            return f"every token of {holder} is refused until this is lifted"
        return f"every token of {holder} that was issued until {_moment(entry.before)} is refused; later ones are not"
    what = "all" if entry.pattern == "**" else show(entry.pattern)
    exception = f", but for {', '.join(map(show, entry.keep))}" if entry.keep else ""
    end = "until this is lifted" if entry.until is None else f"until {_moment(entry.until)}"
    exception += ", except by elevation" if entry.standing else ""
    if entry.of == "role":
        return f"{what} that {holder} confers is refused{exception}, {end}"
    return f"{what} is refused to {holder}{exception}, {end}"


def _moment(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return "no date"
