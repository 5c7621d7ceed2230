"""Names, issuers and ends of revocations on the command line, and their description."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jwt_lp.cli.output import Failure, brief
from jwt_lp.cli.token_input import read_token
from jwt_lp.errors import ConfigurationError
from jwt_lp.jose import jws
from jwt_lp.revocation import wanted
from jwt_lp.revocation.wanted import MAX_NAME, is_name, join_names, read_end

if TYPE_CHECKING:
    from jwt_lp.guard.settings import Settings
    from jwt_lp.revocation.entries import RevocationEntry
    from jwt_lp.stores import Store


def parse_end(value: str | None, now: float) -> float | None:
    """`--until` in seconds since the epoch; a day means its first moment in UTC. `UsageError` if it is over."""
    if value is None:
        return None
    try:
        return read_end(value, now)
    except ConfigurationError as error:
        raise click.UsageError(f"--until: {error}") from None


def check_name(name: str, what: str) -> str:
    """Return the name of a subject, client, role or token unchanged; `UsageError` if no token can have it."""
    if not is_name(name):
        raise click.UsageError(f"{what} must have 1 to {MAX_NAME} characters, all of them printable")
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
    raise Failure(f"which issuer? pass --issuer with the exact iss of the tokens; there are {join_names(known, brief)}")


def issuer_warnings(issuer: str, store: Store) -> list[str]:
    """A warning if the store knows other issuers only, because `iss` is compared exactly."""
    return [*wanted.issuer_warnings(issuer, store.issuers(), brief)]


def describe_entry(entry: RevocationEntry) -> str:
    """What a revocation refuses, and until when."""
    return wanted.describe_entry(entry, brief)
