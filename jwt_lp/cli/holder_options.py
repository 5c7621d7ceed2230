"""Names, issuers and ends of revocations on the command line, and their description."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from jwt_lp._support.validation import did_you_mean
from jwt_lp.cli.output import Failure, brief, moment
from jwt_lp.cli.token_input import read_token
from jwt_lp.jose import jws

if TYPE_CHECKING:
    from jwt_lp.guard.settings import Settings
    from jwt_lp.revocation.entries import RevocationEntry
    from jwt_lp.stores import Store

_DURATION: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MAX_NAME: Final = 1024
_MAX_SHOWN: Final = 5

END_SYNTAX: Final = (
    "write a day such as 2027-01-31, a time such as 2027-01-31T12:00:00Z, or a span such as 90m, 12h or 7d"
)


def parse_end(value: str | None, now: float) -> float | None:
    """`--until` in seconds since the epoch; a day means its first moment in UTC. `UsageError` if it is over."""
    if value is None:
        return None
    span = _DURATION.fullmatch(value)
    if span is not None:
        end = now + int(span[1]) * _UNITS[span[2]]
    else:
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            raise click.UsageError(f"--until: {END_SYNTAX}") from None
        end = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    if end <= now:
        raise click.UsageError(f"--until: {moment(end)} is over")
    return end


def check_name(name: str, what: str) -> str:
    """Return the name of a subject, client, role or token unchanged; `UsageError` if no token can have it."""
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise click.UsageError(f"{what} must have 1 to {_MAX_NAME} characters, all of them printable")
    return name


def token_identity(value: str) -> tuple[str, str | None]:
    """The given `jti` and None; or for `-` the `jti` and `iss` of the token on standard input. Nothing is verified.

    The issuer is None if the token does not name it.
    """
    if value != "-":
        if value.count(".") == 2 and value.startswith("eyJ"):  # noqa: PLR2004 - the dots of a compact JWS
            raise click.UsageError(
                "others can read a token in the list of processes: pass - and pipe it in, or pass its jti"
            )
        return check_name(value, "JTI"), None
    claims = jws.read_json(jws.parse_compact(read_token("-")).payload, "payload")
    token_id, issuer = claims.get("jti"), claims.get("iss")
    if isinstance(token_id, str) and "iss" not in claims:
        # A token of an issuer with ABSENT_CLAIMS: --issuer names it, or it is the only one.
        return check_name(token_id, "the token's jti"), None
    if not isinstance(token_id, str) or not isinstance(issuer, str):
        raise Failure(
            "the token has no jti or no iss to name it by: revoke all tokens issued to its subject or client until now"
        )
    return check_name(token_id, "the token's jti"), check_name(issuer, "the token's iss")


def resolve_issuer(value: str | None, settings: Settings | None, store: Store) -> str:
    """The exact `iss`: that of `--issuer` (an `iss`, or a name in the settings), or the only one that is known."""
    configured = settings.issuers if settings is not None else ()
    if value is not None:
        check_name(value, "--issuer")
        return next((issuer.issuer for issuer in configured if value in (issuer.issuer, issuer.name)), value)
    known = [issuer.issuer for issuer in configured] or [issuer for issuer in store.issuers() if issuer]
    if len(known) == 1:
        return known[0]
    if not known:
        raise Failure(f"{store.name} knows no issuer yet: pass --issuer with the exact iss of the tokens")
    raise Failure(f"which issuer? pass --issuer with the exact iss of the tokens; there are {join_names(known)}")


def issuer_warnings(issuer: str, store: Store) -> list[str]:
    """A warning if the store knows other issuers only, because `iss` is compared exactly."""
    known = [name for name in store.issuers() if name]
    if not known or issuer in known:
        return []
    hint = did_you_mean(issuer, known)
    return [f"the store has seen no token of {brief(issuer)}{hint or f': it knows {join_names(known)}'}"]


def join_names(names: list[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(map(brief, names[:_MAX_SHOWN]))
    return shown if len(names) <= _MAX_SHOWN else f"{shown} and {len(names) - _MAX_SHOWN:,} more"


def describe_entry(entry: RevocationEntry) -> str:
    """What a revocation refuses, and until when."""
    holder = f"the {entry.of} {brief(entry.name)} of {brief(entry.issuer)}" if entry.name else brief(entry.issuer)
    if entry.kind == "token":
        return f"{holder} is refused, and every token downscoped from it"
    if entry.kind == "not_before":
        if entry.before is None:
            return f"every token of {holder} is refused until this is lifted"
        return f"every token of {holder} that was issued until {moment(entry.before)} is refused; later ones are not"
    what = "all" if entry.pattern == "**" else brief(entry.pattern)
    exception = f", but for {', '.join(map(brief, entry.keep))}" if entry.keep else ""
    end = "until this is lifted" if entry.until is None else f"until {moment(entry.until)}"
    exception += ", except by elevation" if entry.standing else ""
    if entry.of == "role":
        return f"{what} that {holder} confers is refused{exception}, {end}"
    return f"{what} is refused to {holder}{exception}, {end}"
