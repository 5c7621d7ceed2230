"""Whom is it about, and until when?"""

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


def parse_end(said: str | None, now: float) -> float | None:
    """When `--until` is, in seconds since the epoch; a day is its first moment in UTC."""
    if said is None:
        return None
    span = _DURATION.fullmatch(said)
    if span is not None:
        end = now + int(span[1]) * _UNITS[span[2]]
    else:
        try:
            at = datetime.fromisoformat(said)
        except ValueError:
            raise click.UsageError(f"--until: {END_SYNTAX}") from None
        end = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    if end <= now:
        raise click.UsageError(f"--until: {moment(end)} is over")
    return end


def check_name(said: str, what: str) -> str:
    """A subject's, client's, role's or token's name as it stands in tokens; `UsageError` where it can be none."""
    if not said or len(said) > _MAX_NAME or not said.isprintable():
        raise click.UsageError(f"{what} is a text of 1 to {_MAX_NAME} characters, all of them printable")
    return said


def token_identity(said: str) -> tuple[str, str | None]:
    """The `jti` that was given, or that of the token piped in, with its `iss`. Nothing is verified."""
    if said != "-":
        if said.count(".") == 2 and said.startswith("eyJ"):  # noqa: PLR2004 - the dots of a compact JWS
            raise click.UsageError(
                "that is a token, which others can read in the list of processes: pass - and pipe it in, or pass its jti"
            )
        return check_name(said, "JTI"), None
    claims = jws.read_json(jws.parse_compact(read_token("-")).payload, "payload")
    token_id, issuer = claims.get("jti"), claims.get("iss")
    if not isinstance(token_id, str) or not isinstance(issuer, str):
        raise Failure(
            "the token has no jti and iss to name it by; revoke what its subject or its client was issued until now"
        )
    return check_name(token_id, "the token's jti"), check_name(issuer, "the token's iss")


def resolve_issuer(said: str | None, found: Settings | None, store: Store) -> str:
    """The exact `iss`: `--issuer`, by its name in the settings too; or the only one of the settings or the store."""
    listed = found.issuers if found is not None else ()
    if said is not None:
        check_name(said, "--issuer")
        return next((each.issuer for each in listed if said in (each.issuer, each.name)), said)
    known = [each.issuer for each in listed] or [each for each in store.issuers() if each]
    if len(known) == 1:
        return known[0]
    if not known:
        raise Failure(f"{store.name} knows no issuer yet: pass --issuer with the exact iss of the tokens")
    raise Failure(f"which issuer? pass --issuer with the exact iss of the tokens; there are {join_names(known)}")


def issuer_warnings(issuer: str, store: Store) -> list[str]:
    """Why tokens of this issuer may not be meant: it is a text that is compared, and one character makes another."""
    known = [each for each in store.issuers() if each]
    if not known or issuer in known:
        return []
    near = did_you_mean(issuer, known)
    return [f"the store has seen no token of {brief(issuer)}{near or f': it knows {join_names(known)}'}"]


def join_names(names: list[str]) -> str:
    """A few names, and how many more."""
    shown = ", ".join(map(brief, names[:_MAX_SHOWN]))
    return shown if len(names) <= _MAX_SHOWN else f"{shown} and {len(names) - _MAX_SHOWN} more"


def describe_entry(entry: RevocationEntry) -> str:
    """What an entry refuses, and until when."""
    who = f"the {entry.of} {brief(entry.name)} of {brief(entry.issuer)}" if entry.name else brief(entry.issuer)
    if entry.kind == "token":
        return f"{who} is refused, and all that was narrowed from it"
    if entry.kind == "not_before":
        if entry.before is None:
            return f"every token of {who} is refused until this is lifted"
        return f"every token of {who} that was issued until {moment(entry.before)} is refused; later ones are not"
    what = "all" if entry.pattern == "**" else brief(entry.pattern)
    kept = f", but for {', '.join(map(brief, entry.keep))}" if entry.keep else ""
    end = "until this is lifted" if entry.until is None else f"until {moment(entry.until)}"
    if entry.of == "role":
        return f"{what} that {who} confers is refused{kept}, {end}"
    return f"{what} is refused to {who}{kept}, {end}"
